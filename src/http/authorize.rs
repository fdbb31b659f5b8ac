//! From the headers of a request to the proof that its credential allows the action, or a [`Problem`].

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpMessage, HttpRequest, web};
use bytes::Bytes;

use super::credential::AuthHeaders;
use super::error::{Code, Problem};
use super::{auth_off, client};
use crate::access::limits::{Cost, Limiter, Quotas, fields};
use crate::access::{Action, Attempt, Decision, Denial, Facts, Permit, StatedTenant, decide, recognise};
use crate::key::{ApiKey, Digest, StreamName, TenantId};
use crate::keystore::Keystore;
use crate::sync::Lookup;

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Proof that a request presented a key that allows its action. Only [`authorize`] makes one.
#[derive(Debug, Clone)]
pub struct Authorized(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    permit: Permit,
    address: Option<IpAddr>,
    /// Only when a limit concerns the key: the reference count is written by all cores.
    limiter: Option<Arc<Limiter>>,
    quotas: RefCell<Quotas>,
    accepted: Cell<Accepted>,
}

/// What was accepted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accepted {
    /// How many events.
    pub events: u64,
    /// The body they came in, in bytes as it was sent.
    pub bytes: u64,
}

/// The recognised key of a request, kept as an extension of the request. All actions share this one type, so that no
/// reader misses one.
#[derive(Debug)]
pub(super) enum Presented {
    /// The key allows what the request is about to do.
    Authorized(Authorized),
    /// The key does not allow it.
    Denied {
        key: Arc<ApiKey>,
        /// Where the request comes from.
        address: Option<IpAddr>,
        denial: Denial,
    },
}

impl Presented {
    pub(super) fn key(&self) -> &ApiKey {
        match self {
            Self::Authorized(authorized) => authorized.key(),
            Self::Denied { key, .. } => key,
        }
    }

    /// The key if it is valid for the request, or would be from an allowed network.
    pub(super) fn good_key(&self) -> Option<&ApiKey> {
        match self {
            Self::Denied { denial, .. } if !matches!(denial, Denial::NetworkNotAllowed(_)) => None,
            _ => Some(self.key()),
        }
    }
}

/// Decides whether the key of a request allows `action` from the client's address. An unknown key is looked up once in
/// the change log if another node may have just issued it. Takes nothing from any limit.
///
/// Needs `web::Data<Keystore>` in the application; `web::Data<Limiter>` enforces limits, `web::Data<TrustedProxies>`
/// trusts proxies.
///
/// # Errors
/// The [`Problem`] for the first reason against it, in the order of [`decide()`].
pub async fn authorize(request: &HttpRequest, action: Action) -> Result<Authorized, Problem> {
    authorize_with(request, action, None).await
}

/// The same on a route on which one more header carries an API key.
///
/// # Errors
/// As for [`authorize`].
pub(super) async fn authorize_with(
    request: &HttpRequest,
    action: Action,
    header: Option<&HeaderName>,
) -> Result<Authorized, Problem> {
    match judge(request, action, header) {
        Ok(authorized) => Ok(authorized),
        Err(Refused::For(problem)) => Err(problem),
        // Boxed: keeps the future small on the common path.
        Err(Refused::Unseen(digest, _)) => Box::pin(look(request, action, header, digest)).await,
        Err(Refused::Keyless) => Box::pin(keyless(request, action, header)).await,
    }
}

/// Why a request is not authorized.
enum Refused {
    For(Problem),
    /// The credential is unknown here and has not been looked up in the change log yet. The denial holds if that does
    /// not find it either.
    Unseen(Digest, Denial),
    /// It presents no credential, where none is needed.
    Keyless,
}

impl Refused {
    /// The answer, once nothing more can be looked up.
    fn into_problem(self) -> Problem {
        match self {
            Self::For(problem) => problem,
            Self::Unseen(_, unknown) => unknown.into(),
            Self::Keyless => Denial::Missing.into(),
        }
    }
}

impl<E: Into<Problem>> From<E> for Refused {
    fn from(reason: E) -> Self {
        Self::For(reason.into())
    }
}

fn judge(request: &HttpRequest, action: Action, header: Option<&HeaderName>) -> Result<Authorized, Refused> {
    let headers = AuthHeaders::with(request, header);
    match headers.digest() {
        Err(Denial::Missing) if auth_off::is_keyless(request, &headers) => Err(Refused::Keyless),
        digest => judge_digest(request, action, &headers, digest?),
    }
}

/// With authentication off: the request uses the key that is kept for this in its tenant.
async fn keyless(request: &HttpRequest, action: Action, header: Option<&HeaderName>) -> Result<Authorized, Problem> {
    let headers = AuthHeaders::with(request, header);
    let digest = auth_off::digest(request, keystore(request)?, &headers, action).await?;
    judge_digest(request, action, &headers, digest).map_err(Refused::into_problem)
}

fn judge_digest(
    request: &HttpRequest,
    action: Action,
    headers: &AuthHeaders<'_>,
    digest: Digest,
) -> Result<Authorized, Refused> {
    let keystore = keystore(request)?;
    let address = client::of(request);
    let (stated_tenant, unreadable) = match headers.tenant() {
        Ok(None) => (StatedTenant::Nothing, None),
        Ok(Some(tenant)) => (StatedTenant::Tenant(tenant), None),
        Err(problem) => (StatedTenant::Unreadable, Some(problem)),
    };
    let attempt = Attempt { action, stated_tenant, address: address.into(), now: keystore.now() };
    let denial = match recognise(keystore.cache(), &digest, &attempt) {
        Ok(permit) => return Ok(Authorized::new(request, permit, address)),
        Err(unknown @ (Denial::Unknown | Denial::Verifying)) => match keystore.decide_lookup(&digest, address) {
            Lookup::Needed => return Err(Refused::Unseen(digest, unknown)),
            Lookup::Busy => Denial::Unverifiable,
            Lookup::Recent | Lookup::Alone | Lookup::OverBudget => unknown,
        },
        Err(denial) => denial,
    };
    if denial.key_id().is_some()
        && let Some(key) = keystore.cache().find(&digest)
    {
        // Refusals of a known key are counted too.
        request.extensions_mut().insert(Presented::Denied { key, address, denial });
    }
    // The header that failed to parse explains itself better than the denial does.
    let explained = unreadable.filter(|_| matches!(denial, Denial::TenantUnreadable(_)));
    Err(Refused::For(explained.unwrap_or_else(|| denial.into())))
}

async fn look(
    request: &HttpRequest,
    action: Action,
    header: Option<&HeaderName>,
    digest: Digest,
) -> Result<Authorized, Problem> {
    match keystore(request)?.look_up(&digest, client::of(request)).await {
        Ok(()) => judge(request, action, header).map_err(Refused::into_problem),
        Err(error) => {
            tracing::debug!("an unknown key cannot be looked up: {error:?}");
            Err(Denial::Unverifiable.into())
        }
    }
}

fn keystore(request: &HttpRequest) -> Result<&web::Data<Keystore>, Problem> {
    request.app_data().ok_or_else(|| {
        tracing::error!("keys need web::Data<Keystore>: add .app_data(web::Data::new(keystore)) to the App");
        Problem::new(Code::Internal, "The server is not set up.")
    })
}

impl Authorized {
    fn new(request: &HttpRequest, permit: Permit, address: Option<IpAddr>) -> Self {
        let limiter = request.app_data::<web::Data<Limiter>>();
        let limiter = limiter.filter(|limiter| limiter.concerns(permit.key(), permit.tenant_limits()));
        let limiter = limiter.map(|limiter| limiter.clone().into_inner());
        let authorized =
            Self(Rc::new(Inner { permit, address, limiter, quotas: RefCell::default(), accepted: Cell::default() }));
        request.extensions_mut().insert(Presented::Authorized(authorized.clone()));
        authorized
    }

    /// The permit.
    pub fn permit(&self) -> &Permit {
        &self.0.permit
    }

    /// The key that was presented.
    pub fn key(&self) -> &Arc<ApiKey> {
        self.0.permit.key()
    }

    /// Its tenant.
    pub fn tenant(&self) -> &TenantId {
        self.0.permit.tenant()
    }

    /// The address of the client, if it is known.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    /// Checks that the key covers a stream.
    ///
    /// # Errors
    /// 403 `stream_not_allowed`.
    pub fn check_stream(&self, stream: &StreamName) -> Result<(), Problem> {
        Ok(self.0.permit.check_stream(stream)?)
    }

    /// Takes what the request costs from the limits of the key and its tenant.
    ///
    /// # Errors
    /// 429 `rate_limited`; 413 when the cost is above the burst of a limit.
    pub async fn acquire(&self, cost: Cost) -> Result<(), Problem> {
        let Some(limiter) = &self.0.limiter else { return Ok(()) };
        let permit = &self.0.permit;
        let costs = limiter.costs(permit.key(), permit.tenant_limits(), cost);
        let acquired = match limiter.try_acquire(&costs) {
            Some(acquired) => acquired,
            // Boxed: keeps the future small on the common local path.
            None => Box::pin(limiter.acquire(&costs)).await,
        };
        self.0.quotas.borrow_mut().extend(&acquired.quotas);
        let facts = match cost.requests {
            0 => Facts { volume: acquired.refusal, ..permit.facts() },
            _ => Facts { request_rate: acquired.refusal, ..permit.facts() },
        };
        match decide(&facts, permit.action()) {
            Decision::Granted => Ok(()),
            Decision::Denied(denial) => Err(denial.into()),
            Decision::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// Notes what was accepted, for the counters of the key.
    pub fn note_accepted(&self, accepted: Accepted) {
        self.0.accepted.set(accepted);
    }

    /// What was accepted.
    pub(super) fn accepted(&self) -> Accepted {
        self.0.accepted.get()
    }

    /// Sets the `RateLimit` fields: what is left of every limit that applied.
    pub(super) fn show_quotas(&self, headers: &mut HeaderMap) {
        let quotas = self.0.quotas.borrow();
        if quotas.is_empty() {
            return;
        }
        let (text, split) = fields::write(&quotas);
        let mut policy = Bytes::from(text);
        let state = policy.split_off(split);
        for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
            if let Ok(value) = HeaderValue::from_maybe_shared(value) {
                headers.insert(name, value);
            }
        }
    }
}
