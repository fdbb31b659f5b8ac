//! The README's tour, line by line, against a fresh server.

use std::path::Path;
use std::process::Command;

use crate::support::Process;

/// The lines between the marker and the end of its block.
fn tour() -> String {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("<!-- tour:").expect("the marker");
    let (_, rest) = rest.split_once("```sh\n").expect("a block of shell");
    rest.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn the_tour_of_the_readme_works_as_it_is_pasted() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("keyloft-data");
    let server = Process::serve(&store, &[]);
    let token = server.admin_token().expect("the first start prints a token").to_owned();
    let binary = Path::new(env!("CARGO_BIN_EXE_keyloft"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let script = tour().replace("http://127.0.0.1:8000", server.url());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PATH", path)
        .env("KEYLOFT_URL", server.url())
        .env("KEYLOFT_ADMIN_TOKEN", token)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(r#"{"accepted":1707,"stream":"earthquakes"}"#), "{said}");
    assert!(said.contains(r#""magnitude":6.4"#), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.contains(&"403") && lines.contains(&"401"), "{said}");
    assert!(said.contains("dashboard") && !said.lines().last().unwrap().contains("shipper"), "{said}");
}
