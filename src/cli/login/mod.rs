//! `keyloft login`, `logout` and `whoami`: people who sign in at an identity provider.
//!
//! 1. [`run`]: signing in.  [`logout`], [`whoami`]: afterwards.
//! 2. `listener`: waits for the browser on loopback (RFC 8252).  `file`: where the token is kept.

pub(super) mod file;
mod listener;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use self::file::Login;
use self::listener::Listener;
use super::failure::FailureKind;
use super::output::{self, Column};
use super::terminal::{complain, escaped};
use super::{Client, ClientArgs, Failure, Outcome, input};
use crate::config::AdminToken;
use crate::key::{Digest, RandomText};

pub(super) const EXAMPLES: &str = "Examples:
  keyloft login
  keyloft login --provider github
  keyloft login --no-browser";

/// How long the browser may take: as long as the server waits for a provider.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where to sign in.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The identity provider, when there are several
    #[arg(long)]
    provider: Option<String>,
    /// Print the address instead of opening a browser, and paste what it shows at the end
    #[arg(long)]
    no_browser: bool,
}

/// Whether all sign-ins end.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// End all sign-ins, on other machines too
    #[arg(long)]
    all: bool,
}

const OPERATOR: &[Column] =
    &[("Operator", "userId"), ("Name", "displayName"), ("E-mail", "email"), ("Provider", "provider")];

const PLACES: &[Column] = &[("TENANT", "tenant"), ("ROLE", "role"), ("SOURCE", "source")];

/// Signs in.
pub(super) fn run(args: &ClientArgs, login: &LoginArgs) -> Outcome {
    let client = args.connect_without_token()?;
    file::prepare(client.base())?;
    let mut url = provider(&client, login.provider.as_deref())?;
    let verifier = RandomText::generate().map_err(|error| Failure::failed(error.to_string()))?.into_inner();
    let challenge = Digest::of(&verifier).base64url();
    let exchange = |handoff: Zeroizing<String>| {
        client.post(&["auth", "token"], &json!({"handoff": handoff.as_str(), "verifier": verifier.as_str()}))
    };
    let answer = if login.no_browser {
        url.query_pairs_mut().append_pair("handoff", "1").append_pair("challenge", &challenge);
        complain(&format_args!("open this address, sign in, and paste what the page shows:\n  {url}"));
        exchange(Zeroizing::new(input::api_key()?.trim().to_owned()))?
    } else {
        let listener = Listener::bind()?;
        url.query_pairs_mut().append_pair("cli", &listener.port().to_string()).append_pair("challenge", &challenge);
        complain(&format_args!("opening a browser; if none opens, open this address on this machine:\n  {url}"));
        open(&url);
        let end = Instant::now() + PATIENCE;
        loop {
            match exchange(listener.handoff(end)?) {
                // Any program of this machine can ask the port: only the server knows whose handoff is good.
                Err(failure) if failure.kind() == FailureKind::Refused => complain(&failure),
                exchanged => break exchanged?,
            }
        }
    };
    let token = answer["token"].as_str().unwrap_or_default().to_owned();
    let token = AdminToken::parse(token).map_err(|rule| Failure::failed(format!("the token {rule}")))?;
    let expires_at = answer["expiresAt"].as_str().unwrap_or_default();
    file::write(client.base(), &Login { token, expires_at: expires_at.to_owned() })?;
    let operator = &answer["operator"];
    if args.json {
        return output::print(&output::json(&json!({"operator": operator, "expiresAt": expires_at})));
    }
    output::print(&format!("{}\nExpires   {}", output::card(OPERATOR, operator), escaped(expires_at)))
}

/// Signs out, and forgets the token.
pub(super) fn logout(args: &ClientArgs, logout: &LogoutArgs) -> Outcome {
    let base = args.base()?;
    let Some(login) = file::read(&base)? else {
        return Err(Failure::refused(
            "nobody is signed in here; the admin token and machines' tokens have no sign-ins",
        ));
    };
    let ended = Client::new(base.clone(), Some(login.token))?.post(&["auth", "logout"], &json!({"all": logout.all}));
    // One that is refused has ended already.
    if let Err(failure) = ended
        && failure.kind() != FailureKind::Refused
    {
        return Err(failure);
    }
    file::remove(&base)?;
    output::print(&if args.json { output::json(&json!({"signedOut": true})) } else { "signed out.".to_owned() })
}

/// Says who the credential of the command line is.
pub(super) fn whoami(args: &ClientArgs) -> Outcome {
    let me = args.connect()?.get(&["auth", "me"], &[])?;
    if args.json {
        return output::print(&output::json(&me));
    }
    let mut text = match &me["operator"] {
        Value::Null => output::card(&[("Actor", "actor")], &me),
        operator => output::card(OPERATOR, operator),
    };
    if let Some(role) = me["platformRole"].as_str() {
        text.push_str(&format!("\nPlatform  {}", escaped(role)));
    }
    if let Some(places) = me["memberships"].as_array().filter(|places| !places.is_empty()) {
        text.push_str("\n\n");
        text.push_str(&output::table(PLACES, places));
    }
    output::print(&text)
}

/// The address at which to sign in.
fn provider(client: &Client, name: Option<&str>) -> Outcome<Url> {
    let page = client.get(&["auth", "providers"], &[])?;
    let providers = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = || providers.iter().filter_map(|one| one["name"].as_str()).map(escaped).collect::<Vec<_>>().join(", ");
    let found = match (name, providers) {
        (None, []) => return Err(Failure::refused("the server has no identity provider: use the admin token")),
        (None, [only]) => only,
        (None, _) => return Err(Failure::usage(format!("say --provider: {}", names()))),
        (Some(name), _) => providers
            .iter()
            .find(|one| one["name"] == name)
            .ok_or_else(|| Failure::refused(format!("there is no such provider; there are: {}", names())))?,
    };
    let url = found["loginUrl"].as_str().and_then(|url| Url::parse(url).ok());
    // It is opened by a program, which must not take it for something else.
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| Failure::failed("the server gives no address to sign in at"))
}

/// Opens a browser, if there is a program for that. The address is printed too.
fn open(url: &Url) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    let command = command.arg(url.as_str()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = command.spawn() {
        complain(&format_args!("no browser was opened: {program}: {error}"));
    }
}
