//! How far a change has come, asked later.

use std::time::Instant;

use actix_web::{HttpResponse, web};

use super::receipt::ReceiptView;
use crate::http::app::App;
use crate::http::authorize::Operator;
use crate::http::error::{Code, Problem};

/// The receipt of a change as it is now.
///
/// # Errors
/// 400, 404 for a number that was never given, 503.
pub async fn show(_: Operator, app: web::Data<App>, seq: web::Path<String>) -> Result<HttpResponse, Problem> {
    let start = Instant::now();
    let seq: u64 = seq.parse().map_err(|_| Problem::invalid("The number of a change is a whole number."))?;
    if seq > app.keystore.replica().applied_seq() {
        app.keystore.catch_up().await?;
    }
    if !(1..=app.keystore.replica().applied_seq()).contains(&seq) {
        return Err(Problem::new(Code::NotFound, "There is no such change."));
    }
    let receipt = app.keystore.replica().receipt(seq).await;
    if receipt.live_nodes.is_none() {
        return Err(Problem::new(Code::StoreUnavailable, "The nodes cannot be asked how far they have come."));
    }
    Ok(HttpResponse::Ok().json(ReceiptView::new(receipt, start)))
}
