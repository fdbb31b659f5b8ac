//! Is the process alive, and should it be sent requests; and what is said where there is no route.

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::http::app::App;
use crate::http::error::{Code, Problem};

/// The process answers.
pub async fn liveness() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "alive"}))
}

/// All keys are loaded and the node is not shutting down.
///
/// # Errors
/// 503 until then, and from then on.
pub async fn readiness(app: web::Data<App>) -> Result<HttpResponse, Problem> {
    if !app.keystore.cache().is_hydrated() {
        return Err(Problem::new(Code::NotReady, "The keys are not loaded yet."));
    }
    Ok(HttpResponse::Ok().json(json!({"status": "ready"})))
}

/// The path exists, the method does not.
///
/// # Errors
/// Always: 405.
pub async fn method_not_allowed() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Code::MethodNotAllowed, "This route knows other methods."))
}

/// Nothing is here.
///
/// # Errors
/// Always: 404.
pub async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Code::NotFound, "There is no such route."))
}
