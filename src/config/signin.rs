//! Options of signing in: where browsers reach this system, who is admin of the platform, and the providers of the
//! environment. `keyloft.toml` has more of them: see `tables`.

use std::time::Duration;

use super::OptionDoc;
use super::value::duration;
use crate::operators::OperatorId;
use crate::signin::PublicUrl;

/// How many admins of the platform may be configured.
const MAX_ADMINS: usize = 100;

/// An option that only the environment takes, and that `providers` reads together with others.
const fn variable(env: &'static str, default: &'static str, unit: &'static str, doc: &'static str) -> OptionDoc {
    OptionDoc { flag: None, env, key: None, default, unit, doc, set: |_, _| Ok(()) }
}

pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: Some("public-url"),
        env: "KEYLOFT_PUBLIC_URL",
        key: Some("http.public_url"),
        default: "none",
        unit: "URL",
        doc: "Where browsers reach this system, such as https://keys.example.com; http only on loopback. Signing in needs it.",
        set: |config, text| {
            let url = (text != "none").then(|| PublicUrl::parse(text)).transpose();
            config.signin.public_url = url.map_err(|error| error.to_string())?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("platform-admins"),
        env: "KEYLOFT_PLATFORM_ADMINS",
        key: Some("operators.platform_admins"),
        default: "none",
        unit: "ids",
        doc: "Operators who are admins of the platform whatever the store says, such as op-5a12af06505d0ebbb95bca5441f5c29f; at most 100.",
        set: |config, text| {
            config.signin.platform_admins = if text == "none" { Vec::new() } else { admins(text)? };
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("operator-session-ttl"),
        env: "KEYLOFT_OPERATOR_SESSION_TTL",
        key: Some("operators.session_ttl"),
        default: "8h",
        unit: "duration",
        doc: "How long an operator stays signed in.",
        set: |config, text| {
            config.signin.session_ttl = duration(text, Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 3600))?;
            Ok(())
        },
    },
    variable("KEYLOFT_OIDC_NAME", "oidc", "name", "What the OpenID Connect provider of the environment is called."),
    variable("KEYLOFT_OIDC_ISSUER", "none", "URL", "Its issuer, exactly as the provider spells it."),
    variable("KEYLOFT_OIDC_CLIENT_ID", "none", "text", "The client id there."),
    variable("KEYLOFT_OIDC_CLIENT_SECRET", "none", "text", "The client secret there."),
    variable("KEYLOFT_OIDC_CLIENT_SECRET_FILE", "none", "path", "A file that holds that client secret."),
    variable("KEYLOFT_GITHUB_CLIENT_ID", "none", "text", "The client id of the OAuth app at GitHub."),
    variable("KEYLOFT_GITHUB_CLIENT_SECRET", "none", "text", "The client secret there."),
    variable("KEYLOFT_GITHUB_CLIENT_SECRET_FILE", "none", "path", "A file that holds that client secret."),
    variable(
        "KEYLOFT_GITHUB_URL",
        "https://github.com",
        "URL",
        "GitHub, or a GitHub Enterprise Server; also the issuer of its people.",
    ),
    variable(
        "KEYLOFT_GITHUB_API_URL",
        "auto",
        "URL",
        "Its API; auto is https://api.github.com, or /api/v3 of a GitHub Enterprise Server.",
    ),
    variable("KEYLOFT_GOOGLE_CLIENT_ID", "none", "text", "The client id at Google."),
    variable("KEYLOFT_GOOGLE_CLIENT_SECRET", "none", "text", "The client secret there."),
    variable("KEYLOFT_GOOGLE_CLIENT_SECRET_FILE", "none", "path", "A file that holds that client secret."),
    variable("KEYLOFT_GOOGLE_ISSUER", "https://accounts.google.com", "URL", "The issuer of Google."),
    variable(
        "KEYLOFT_GOOGLE_HOSTED_DOMAINS",
        "none",
        "domains",
        "The Workspace domains whose accounts may sign in, such as example.com,example.org; none is all accounts.",
    ),
];

/// Ids with commas between.
fn admins(text: &str) -> Result<Vec<OperatorId>, String> {
    let admins: Result<Vec<OperatorId>, _> = text.split(',').map(|id| OperatorId::parse(id.trim())).collect();
    let admins = admins.map_err(|_| "must be ids of operators with commas between: keyloft operator id prints one")?;
    if admins.len() > MAX_ADMINS {
        return Err(format!("must be at most {MAX_ADMINS} ids"));
    }
    Ok(admins)
}
