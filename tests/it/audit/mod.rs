//! The change log read as an audit: who did what, when, from where, and what is different since.

mod differences;
mod found;
mod records;
mod requests;
mod stream;

use serde_json::Value;

use crate::support::TestServer;

/// All changes of the change log, in their order.
pub fn changes(server: &TestServer) -> Vec<Value> {
    let folder = server.path(".settings/keyloft/log");
    let files = std::fs::read_dir(folder).into_iter().flatten(); // There is none before the first change.
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    // Others are on their way to their name.
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let read = |file| serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).unwrap();
    files.into_iter().flat_map(|file| read(file)["changes"].as_array().unwrap().clone()).collect()
}
