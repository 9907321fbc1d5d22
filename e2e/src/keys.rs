//! A key that signs the versions of a test, and the rules of the original pipeline.

use std::path::Path;

use weir_registry::SecretKey;

/// Sections of a host's settings: it trains, signs and trusts with one key in this folder, every version serves at once, none is
/// kept on disk, and it neither shows the line nor tells how it is: several run on one machine.
///
/// # Panics
/// If the folder cannot be written.
pub fn original(folder: &Path) -> String {
    let key = SecretKey::from_seed(&[7; 32]);
    let (secret, public) = (folder.join("trainer.pem"), folder.join("trainer.pub"));
    std::fs::write(&secret, key.to_pem()).expect("written");
    std::fs::write(&public, key.public().to_pem()).expect("written");
    format!(
        "[http]\nlisten = \"\"\n[health]\nlisten = \"\"\n[train]\nkey-file = {secret:?}\n[trust]\nkeys = [{public:?}]\n[models]\npath = \"\"\n\
         [promotion]\npolicy = \"always\"\nshadow-rows = 0\nprobation-rows = 0\n"
    )
}
