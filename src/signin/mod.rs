//! Finding out at an identity provider who somebody is. No actix: the routes send browsers away and take them back.
//!
//! 1. [`settings`]: what the configuration says.  [`names`]: the public URL, names of providers, client secrets.
//! 2. [`provider`]: all providers, and what each of them can do.
//! 3. [`attempt`]: what one sign-in remembers, and what comes back with the browser.
//! 4. [`oidc`]: OpenID Connect.  [`discovery`]: what such a provider publishes.  [`claims`]: what its tokens say.
//!    [`google`]: what Google does otherwise.
//! 5. [`github`]: GitHub, which has no OpenID Connect.
//! 6. [`fetch`]: requests to providers, and their bounds.  [`cached`]: one request for all who wait.
//!    [`error`]: why somebody is not signed in.

mod attempt;
mod cached;
mod claims;
mod discovery;
mod error;
mod fetch;
mod github;
mod google;
mod names;
mod oidc;
mod provider;
mod settings;

pub use attempt::{Attempt, Callback};
pub use error::SignInError;
pub(crate) use names::base_url;
pub use names::{ClientSecret, ProviderName, PublicUrl};
pub use provider::{Provider, Providers};
pub use settings::{GitHubSettings, GoogleSettings, Kind, OidcSettings, ProviderSettings, Settings};
