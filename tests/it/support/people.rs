//! People with tokens, made as a node makes them: a signer and an account are documents in the store.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use keyloft::testing::operators::{OperatorId, SignerId};
use keyloft::{Clock, SystemClock};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::{Client, TestServer};

pub const ISSUER: &str = "https://id.example";

/// A key that signs, known to a server.
pub struct Signer {
    pub pair: Ed25519KeyPair,
    pub kid: String,
}

/// Somebody who has signed in.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: String,
    pub sid: String,
    pub token: String,
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The id of the person with a number.
pub fn id(number: usize) -> String {
    OperatorId::of(ISSUER, &number.to_string()).unwrap().to_string()
}

impl Signer {
    /// A key that nobody knows yet.
    pub fn unknown() -> Self {
        let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
        let kid = SignerId::of(pair.public_key().as_ref()).to_string();
        Self { pair, kid }
    }

    /// A key whose public half is in the store, as that of another node.
    pub async fn added_to(server: &TestServer) -> Self {
        let signer = Self::unknown();
        signer.store(server, SystemClock.now());
        sync(server).await;
        signer
    }

    /// Puts the public half into the store.
    pub fn store(&self, server: &TestServer, created_at: DateTime<Utc>) {
        let document = json!({
            "version": 1, "publicKey": base64(self.pair.public_key()),
            "nodeId": "0b9f5a51-6a55-4a43-8b45-0f2f1c6d9e01", "createdAt": created_at,
            "signsUntil": created_at + TimeDelta::days(1), "expiresAt": created_at + TimeDelta::days(2),
        });
        write(server, &format!(".settings/keyloft/signers/{}.json", self.kid), &document);
    }

    /// The header that the server writes.
    pub fn header(&self) -> String {
        format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"kl-op+jwt"}}"#, self.kid)
    }

    /// A token of exactly this header and these claims.
    pub fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64(header), base64(claims));
        format!("{signed}.{}", base64(self.pair.sign(signed.as_bytes())))
    }

    /// A token of these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&self.header(), &claims.to_string())
    }

    /// Somebody who has signed in an instant ago, without a role.
    pub async fn person(&self, server: &TestServer, number: usize) -> Person {
        let (id, sid) = (id(number), format!("sid-{:032x}", number + 100));
        let now = SystemClock.now();
        let account = json!({
            "version": 1, "state": "active", "provider": "corp", "issuer": ISSUER, "subject": number.to_string(),
            "displayName": format!("Person {number}"), "email": format!("p{number}@example.com"), "createdAt": now,
            "lastSignInAt": now, "rev": 1,
            "logins": [{"sid": sid, "createdAt": now, "expiresAt": now + TimeDelta::hours(8)}],
        });
        write(server, &format!(".settings/keyloft/operators/{id}.json"), &account);
        sync(server).await;
        let token = self.token(&claims(&id, &sid, now));
        Person { id, sid, token }
    }
}

/// The claims of a token of somebody.
pub fn claims(id: &str, sid: &str, now: DateTime<Utc>) -> Value {
    let now = now.timestamp();
    json!({"iss": "keyloft", "aud": "keyloft", "sub": id, "sid": sid, "iat": now, "nbf": now, "exp": now + 8 * 3600})
}

impl Person {
    /// Gives them a role, in a tenant or on the platform.
    pub async fn becomes(&self, server: &TestServer, tenant: &str, role: &str) {
        let path = match role.starts_with("platform") {
            true => "/api/v1/memberships".to_owned(),
            false => format!("/api/v1/tenants/{tenant}/memberships"),
        };
        let answer = server.admin().post(&path, json!({"userId": self.id, "role": role})).await;
        assert!(answer.status.is_success(), "{}", answer.text());
    }

    /// Their client of a server.
    pub fn client(&self, server: &TestServer) -> Client {
        Client::admin(server.url(), &self.token)
    }
}

fn write(server: &TestServer, path: &str, document: &Value) {
    let path = server.path(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, document.to_string()).unwrap();
}

async fn sync(server: &TestServer) {
    assert_eq!(server.admin().post("/api/v1/sync", json!({})).await.status, 200);
}
