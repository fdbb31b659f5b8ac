//! The cryptography of `jsonwebtoken`, by `ring`: it checks RS256, PS256, ES256 and EdDSA, and makes no signature.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

/// Every algorithm that a provider may sign with. HMAC is none of them: its key would be the client secret.
pub(super) const ALGORITHMS: [Algorithm; 4] = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];

const PROVIDER: &CryptoProvider = &CryptoProvider {
    signer_factory: refuse_to_sign,
    verifier_factory: verifier,
    // Only for thumbprints, and for JWKs of private keys.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `ring` the cryptography of `jsonwebtoken` in this process; without any, its first use would panic. One that
/// the program has installed before stays.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

fn refuse_to_sign(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let check = match (algorithm, key.family()) {
        (Algorithm::RS256, AlgorithmFamily::Rsa) => Check::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::PS256, AlgorithmFamily::Rsa) => Check::Rsa(&RSA_PSS_2048_8192_SHA256),
        (Algorithm::ES256, AlgorithmFamily::Ec) => Check::Bytes(&ECDSA_P256_SHA256_FIXED),
        (Algorithm::EdDSA, AlgorithmFamily::Ed) => Check::Bytes(&ED25519),
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    Ok(Box::new(RingVerifier { algorithm: *algorithm, check, key: key.clone() }))
}

/// How a signature is checked.
enum Check {
    /// With the modulus and the exponent of a key.
    Rsa(&'static RsaParameters),
    /// With the bytes of a key.
    Bytes(&'static dyn VerificationAlgorithm),
}

struct RingVerifier {
    algorithm: Algorithm,
    check: Check,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match (&self.check, self.key.kind()) {
            (Check::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (Check::Bytes(algorithm), DecodingKeyKind::SecretOrDer(bytes)) => {
                UnparsedPublicKey::new(*algorithm, bytes).verify(message, signature)
            }
            _ => return Err(signature::Error::new()),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
