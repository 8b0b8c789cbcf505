//! What the fuzz target calls: bytes in, and properties of what is made of them.

use std::time::{Duration, UNIX_EPOCH};

use crate::bundle::{Bundle, Material};
use crate::certificates::{Authorities, holder};
use crate::key::PublicKey;
use crate::statement::Statement;

/// A bundle, a statement, a key, a chain: any bytes are refused or pass, in bounded memory.
///
/// # Panics
/// If a property does not hold.
pub fn bundle(bytes: &[u8]) {
    let _ = PublicKey::from_pem(bytes);
    let _ = Authorities::from_pem(bytes);
    statement(bytes);
    let Ok(bundle) = Bundle::parse(bytes) else { return };
    assert!(bundle.payload.len() <= bytes.len());
    statement(&bundle.payload);
    if let Material::Certificates(chain) = &bundle.material {
        // A certificate that is believed by itself is walked through as far as it goes.
        let pem: String = chain
            .iter()
            .map(|der| {
                let text = data_encoding::BASE64.encode(der);
                format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
            })
            .collect();
        if let Ok(believed) = Authorities::from_pem(pem.as_bytes()) {
            let _ = holder(chain, &believed, UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        }
    }
}

fn statement(bytes: &[u8]) {
    if let Ok(statement) = Statement::parse(bytes) {
        assert!(!statement.files.is_empty());
        assert!(statement.files.keys().all(|name| !name.starts_with('/') && !name.split('/').any(|part| part == "..")));
    }
}
