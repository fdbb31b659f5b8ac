//! What `scripts/lib.sh` promises of everything that the scripts fetch: it comes by name whatever is installed, it is
//! complete only once it runs, and a broken copy is fetched again.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Runs lines of bash after `lib.sh`, with a cache of their own, and returns what they printed.
fn run(folder: &Path, lines: &str) -> String {
    let lib = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lib.sh");
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &format!("set -euo pipefail\n. '{lib}'\n{lines}")])
        .env("XDG_CACHE_HOME", folder)
        .env("PATH", path)
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A program that is "fetched": it says `hello` when it is started.
const TOOL: &str = r#"
fetch() { echo fetched; printf '#!/bin/sh\necho hello\n' >"$1/tool"; echo data >"$1/data"; chmod +x "$1/tool"; }
runs() { [ "$("$1/tool")" = hello ]; }
"#;

#[test]
fn what_is_complete_is_fetched_once() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(folder.path(), &format!("{TOOL} provide tool 1 runs fetch; provide tool 1 runs fetch; echo done"));
    assert_eq!(said, "fetched\ndone\n");
}

#[test]
fn a_broken_or_outdated_copy_is_fetched_again() {
    for (damage, what) in [
        ("rm $keyloft_cache/tool/data", 1),
        ("rm -r $keyloft_cache/tool", 1),
        (": >$keyloft_cache/tool/data", 1),
        ("chmod -x $keyloft_cache/tool/tool", 1),
        ("sed -i s/hello/hallo/ $keyloft_cache/tool/tool", 1),
        ("true", 2),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let said = run(
            folder.path(),
            &format!(
                "{TOOL} provide tool 1 runs fetch >/dev/null\n{damage}\nprovide tool {what} runs fetch; runs $keyloft_cache/tool"
            ),
        );
        assert!(said.contains("fetched\n") && said.contains("broken or outdated"), "{damage}: {said}");
    }
}

#[test]
fn what_was_interrupted_or_does_not_run_is_not_complete() {
    for broken in ["fetch() { : >$1/tool; false; }", "fetch() { : >$1/tool; }"] {
        let folder = tempfile::tempdir().unwrap();
        let said = run(folder.path(), &format!("{TOOL} {broken}\nprovide tool 1 runs fetch; echo unreachable"));
        assert!(!said.contains("unreachable"), "{broken}: {said}");
        let said = run(folder.path(), &format!("{TOOL} provide tool 1 runs fetch; runs $keyloft_cache/tool"));
        assert_eq!(said, "fetched\n", "{broken}");
    }
}

#[test]
fn packages_come_by_name_whatever_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    // On this machine everything is installed: only for an empty system is there anything to do.
    let apt_get = r#"#!/bin/bash
for argument in "$@"; do case $argument in Dir::State::status=*) status=${argument#*=} ;; esac; done
case "$*" in
    *\?essential*) list="base" ;;
    *install*) list="base tool libtool unneeded" ;;
    *download*) all="$*"; for name in ${all##*download}; do : >"$name.deb"; done ;;
esac
[ -n "${status:-}" ] && [ ! -s "$status" ] || exit 0
for name in ${list:-}; do echo "Inst $name (1)"; done
"#;
    let dpkg = "#!/bin/bash\n: >\"$3/$(basename \"$2\")\"\n";
    for (name, text) in [("apt-get", apt_get), ("dpkg", dpkg)] {
        std::fs::write(bin.join(name), text).unwrap();
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let said = run(
        folder.path(),
        "fetch() { unpack_debian \"$1\" 'unneeded|other' tool; }; runs() { :; }\nprovide tool tool runs fetch; ls $keyloft_cache/tool",
    );
    assert_eq!(said, "libtool.deb\ntool.deb\n");
}
