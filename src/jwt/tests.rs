//! Tokens as a provider makes them, and as nobody may.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

use super::id_token::check;
use super::*;
use crate::jwt::keys::InvalidKeys;

const NOW: i64 = 1_800_000_000;

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The private keys of a provider.
struct Signer {
    ed: Ed25519KeyPair,
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let rsa = std::process::Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER"])
            .output()
            .unwrap();
        Self {
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).unwrap(),
            // OpenSSL 3.0 writes PKCS #1, later ones PKCS #8.
            rsa: RsaKeyPair::from_der(&rsa.stdout).or_else(|_| RsaKeyPair::from_pkcs8(&rsa.stdout)).unwrap(),
        }
    }

    fn jwks(&self) -> Value {
        let rsa: PublicKeyComponents<Vec<u8>> = self.rsa.public().into();
        let point = self.ec.public_key().as_ref();
        json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig", "x": base64(self.ed.public_key())},
            {"kty": "EC", "crv": "P-256", "kid": "ec", "x": base64(&point[1..33]), "y": base64(&point[33..])},
            {"kty": "RSA", "kid": "rsa", "n": base64(&rsa.n), "e": base64(&rsa.e)},
            {"kty": "RSA", "kid": "ps", "alg": "PS256", "n": base64(&rsa.n), "e": base64(&rsa.e)},
            {"kty": "RSA", "kid": "enc", "use": "enc", "n": base64(&rsa.n), "e": base64(&rsa.e)},
            {"kty": "oct", "kid": "oct", "alg": "HS256", "k": base64([7; 32])},
            {"kty": "new", "kid": "new"},
        ]})
    }

    fn keys(&self) -> KeySet {
        KeySet::parse(self.jwks().to_string().as_bytes()).unwrap()
    }

    fn sign(&self, header: &Value, claims: &str) -> String {
        let message = format!("{}.{}", base64(header.to_string()), base64(claims));
        let (random, bytes) = (SystemRandom::new(), message.as_bytes());
        let by_rsa = |padding: &'static dyn ring::signature::RsaEncoding| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(padding, &random, bytes, &mut signature).unwrap();
            signature
        };
        let signature = match header["alg"].as_str().unwrap() {
            "EdDSA" => self.ed.sign(bytes).as_ref().to_vec(),
            "ES256" => self.ec.sign(&random, bytes).unwrap().as_ref().to_vec(),
            "RS256" => by_rsa(&RSA_PKCS1_SHA256),
            "PS256" => by_rsa(&RSA_PSS_SHA256),
            "RS512" => by_rsa(&RSA_PKCS1_SHA512),
            "HS256" => {
                // The public key as the secret of HMAC.
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.ed.public_key().as_ref());
                ring::hmac::sign(&key, bytes).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{message}.{}", base64(signature))
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://corp.example", "aud": "keyloft", "sub": "1", "nonce": "n", "email": "a@b",
        "iat": NOW, "exp": NOW + 600,
    })
}

fn read(token: &str, keys: &KeySet) -> Result<Claims, Refusal> {
    let expected = Expected { issuers: &["https://corp.example"], client_id: "keyloft", nonce: "n" };
    check(token, keys, &expected, DateTime::<Utc>::from_timestamp(NOW, 0).unwrap())
}

fn refused(token: &str, keys: &KeySet) -> Refusal {
    read(token, keys).map(|claims| claims.subject).unwrap_err()
}

#[test]
fn each_algorithm_of_the_list_is_checked_with_a_key_that_it_fits() {
    let signer = Signer::new();
    let keys = signer.keys();
    for (algorithm, kid) in [("EdDSA", "ed"), ("ES256", "ec"), ("RS256", "rsa"), ("PS256", "rsa"), ("PS256", "ps")] {
        let token = signer.sign(&json!({"alg": algorithm, "kid": kid}), &claims().to_string());
        let read = read(&token, &keys).unwrap();
        assert_eq!((&*read.subject, &read.others["email"]), ("1", &json!("a@b")));
        let other = Signer::new().keys();
        assert_eq!(refused(&token, &other), Refusal::Signature);
    }
    for (algorithm, kid, refusal) in [
        ("none", "ed", Refusal::Malformed),
        ("HS256", "ed", Refusal::Algorithm),
        ("HS256", "oct", Refusal::Algorithm),
        ("RS512", "rsa", Refusal::Algorithm),
        ("ES256", "rsa", Refusal::UnfitKey),
        ("RS256", "ps", Refusal::UnfitKey),
        ("RS256", "ed", Refusal::UnfitKey),
        ("RS256", "enc", Refusal::UnknownKey),
        ("EdDSA", "other", Refusal::UnknownKey),
        ("EdDSA", "new", Refusal::UnknownKey),
        ("PS256", "RSA", Refusal::UnknownKey),
    ] {
        let token = signer.sign(&json!({"alg": algorithm, "kid": kid}), &claims().to_string());
        assert_eq!(refused(&token, &keys), refusal, "{algorithm} {kid}");
    }
}

#[test]
fn a_token_without_a_key_id_is_for_a_set_in_which_one_key_fits() {
    let signer = Signer::new();
    let token = |algorithm| signer.sign(&json!({"alg": algorithm}), &claims().to_string());
    assert!(read(&token("EdDSA"), &signer.keys()).is_ok());
    assert_eq!(refused(&token("PS256"), &signer.keys()), Refusal::UnclearKey);
}

#[test]
fn keys_and_addresses_in_a_header_are_not_followed() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let keys = signer.keys();
    let own = stranger.jwks()["keys"][0].clone();
    for extra in [
        json!({"jwk": own}),
        json!({"jku": "https://evil.example/jwks"}),
        json!({"x5u": "https://evil.example/cert"}),
        json!({"x5c": ["AAAA"]}),
    ] {
        let mut header = json!({"alg": "EdDSA", "kid": "ed"});
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        assert_eq!(refused(&stranger.sign(&header, &claims().to_string()), &keys), Refusal::Signature, "{header}");
        assert!(read(&signer.sign(&header, &claims().to_string()), &keys).is_ok(), "{header}");
    }
    for crit in [json!(["exp"]), json!([]), json!(["b64"])] {
        let header = json!({"alg": "EdDSA", "kid": "ed", "crit": crit});
        assert_eq!(refused(&signer.sign(&header, &claims().to_string()), &keys), Refusal::Critical);
    }
}

#[test]
fn a_token_has_one_form() {
    let signer = Signer::new();
    let keys = signer.keys();
    let token = signer.sign(&json!({"alg": "EdDSA", "kid": "ed"}), &claims().to_string());
    let parts: Vec<&str> = token.split('.').collect();
    let claimed = |claims: &str| signer.sign(&json!({"alg": "EdDSA", "kid": "ed"}), claims);
    let twice = claims().to_string().replacen('{', "{\"sub\":\"2\",", 1);
    for bad in [
        String::new(),
        "..".to_owned(),
        parts[..2].join("."),
        format!("{token}."),
        format!("{token}.AAAA"),
        format!("{token}="),
        format!("{token} "),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], base64(claims().to_string().replace("\"1\"", "\"2\"")), parts[2]),
        format!("{}{}", token, "A".repeat(64 * 1024)),
        claimed("[]"),
        claimed("{"),
        claimed(&twice),
    ] {
        assert!(matches!(refused(&bad, &keys), Refusal::Malformed | Refusal::Signature), "{bad}");
    }
}

#[test]
fn every_claim_is_judged() {
    let signer = Signer::new();
    let keys = signer.keys();
    let with = |changes: Value| {
        let mut claims = claims();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => _ = claims.as_object_mut().unwrap().remove(name),
                value => claims[name] = value.clone(),
            }
        }
        read(&signer.sign(&json!({"alg": "EdDSA", "kid": "ed"}), &claims.to_string()), &keys).is_ok()
    };
    for good in [
        json!({}),
        json!({"aud": ["keyloft"]}),
        json!({"aud": ["keyloft", "other"], "azp": "keyloft"}),
        json!({"azp": "keyloft"}),
        json!({"exp": NOW - 30}),
        json!({"exp": NOW as f64 + 0.5}),
        json!({"iat": NOW + 30}),
        json!({"nbf": NOW + 30}),
        json!({"iat": NOW - 86_400}),
    ] {
        assert!(with(good.clone()), "{good}");
    }
    for bad in [
        json!({"iss": null}),
        json!({"iss": "https://corp.example/"}),
        json!({"iss": ["https://corp.example"]}),
        json!({"aud": null}),
        json!({"aud": "Keyloft"}),
        json!({"aud": []}),
        json!({"aud": [["keyloft"]]}),
        json!({"aud": ["keyloft", "other"]}),
        json!({"aud": ["keyloft", "other"], "azp": "other"}),
        json!({"azp": "other"}),
        json!({"azp": ["keyloft"]}),
        json!({"exp": null}),
        json!({"exp": NOW - 31}),
        json!({"exp": (NOW + 600).to_string()}),
        json!({"exp": 1e300}),
        json!({"exp": -1}),
        json!({"iat": null}),
        json!({"iat": NOW + 31}),
        json!({"iat": "now"}),
        json!({"nbf": NOW + 31}),
        json!({"nbf": "now"}),
        json!({"nonce": null}),
        json!({"nonce": "N"}),
        json!({"nonce": ["n"]}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 1}),
    ] {
        assert!(!with(bad.clone()), "{bad}");
    }
}

#[test]
fn a_set_of_keys_is_bounded_and_its_odd_keys_are_left_out() {
    let signer = Signer::new();
    let parse = |document: &Value| KeySet::parse(document.to_string().as_bytes()).map(drop);
    assert_eq!(parse(&json!({"keys": [1, null, {"kty": "RSA"}, signer.jwks()["keys"][0]]})), Ok(()));
    assert_eq!(parse(&json!({"keys": vec![signer.jwks()["keys"][0].clone(); 100]})), Ok(()));
    assert_eq!(parse(&json!({"keys": vec![json!({}); 101]})), Err(InvalidKeys::TooMany));
    assert_eq!(parse(&json!({"keys": [signer.jwks()["keys"][5]]})), Err(InvalidKeys::NoneUsable));
    for malformed in [json!({}), json!([]), json!({"keys": {}})] {
        assert_eq!(parse(&malformed), Err(InvalidKeys::Malformed));
    }
    assert_eq!(KeySet::parse(b"<html>").map(drop), Err(InvalidKeys::Malformed));
}
