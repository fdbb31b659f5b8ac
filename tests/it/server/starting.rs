//! The real binary when it starts, or says why it does not.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::process::{keyloft, run};
use crate::support::{Client, Process};

fn serve(store: &Path, listen: &str) -> Command {
    let mut command = keyloft();
    command.args(["serve", "--listen", listen, "--store"]).arg(store);
    command
}

/// The exit code and the words of a server that must not start.
fn refuses(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = run(command, "");
    assert!(stdout.is_empty(), "{}", String::from_utf8_lossy(&stdout));
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

/// An address on which no server can listen, so that a server that wrongly starts ends all the same.
fn busy() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn an_admin_token_that_is_too_short_refuses_to_start_and_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let (store, (_busy, address)) = (folder.path().join("store"), busy());
    for token in ["", "hunter2", "kl_adm_0123456789012345678901"] {
        let (code, stderr) = refuses(serve(&store, &address).env("KEYLOFT_ADMIN_TOKEN", token));
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("KEYLOFT_ADMIN_TOKEN") && stderr.contains("32"), "{stderr}");
        assert!(token.is_empty() || !stderr.contains(token), "{stderr}");
    }
    let file = folder.path().join("token");
    std::fs::write(&file, "hunter2\n").unwrap();
    let (code, stderr) = refuses(serve(&store, &address).env("KEYLOFT_ADMIN_TOKEN_FILE", &file));
    assert_eq!((code, stderr.contains("hunter2")), (2, false), "{stderr}");
    let missing = folder.path().join("missing");
    assert_eq!(refuses(serve(&store, &address).env("KEYLOFT_ADMIN_TOKEN_FILE", missing)).0, 2);
    assert!(!store.exists(), "nothing is written by a server that does not start");
}

#[tokio::test]
async fn a_busy_port_is_said_and_does_not_use_up_the_admin_token() {
    let folder = tempfile::tempdir().unwrap();
    let (store, (_busy, address)) = (folder.path().join("store"), busy());
    let (code, stderr) = refuses(&mut serve(&store, &address));
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(&format!("cannot listen on {address}")), "{stderr}");
    let process = Process::serve(&store, &[]);
    let token = process.admin_token().expect("the first server that starts shows the token");
    assert_ne!(process.admin(token).get("/api/v1/tenants").await.status, 401);
}

#[test]
fn options_that_make_no_sense_are_usage() {
    let folder = tempfile::tempdir().unwrap();
    let (store, (_busy, address)) = (folder.path().join("store"), busy());
    for (option, value) in [("--session-ttl", "5"), ("--ingest-max-body", "lots"), ("--workers", "0"), ("--nope", "1")]
    {
        let (code, stderr) = refuses(serve(&store, &address).args([option, value]));
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(option), "{stderr}");
    }
    assert_eq!(refuses(serve(&store, &address).arg("--json")).0, 2);
    assert!(!store.exists());
}

#[tokio::test]
async fn the_token_of_a_file_wins_over_the_stored_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut first = Process::serve(&store, &[]);
    let stored = first.admin_token().unwrap().to_owned();
    first.signal("TERM");
    assert_eq!(first.wait(), Some(0));
    let given = "a-token-of-thirty-two-characters";
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{given}\n")).unwrap();
    let second = Process::serve_with(&store, &[], &[("KEYLOFT_ADMIN_TOKEN_FILE", file.to_str().unwrap())]);
    assert!(!second.greeting().contains(given) && second.admin_token().is_none(), "{}", second.greeting());
    assert_ne!(second.admin(given).get("/api/v1/tenants").await.status, 401);
    second.admin(&stored).get("/api/v1/tenants").await.refused(401, "invalid_admin_token");
}

#[test]
fn the_admin_token_is_not_made_when_nobody_would_see_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    for redirection in [">&-", ">/dev/null"] {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$0\" \"$@\" {redirection}"), env!("CARGO_BIN_EXE_keyloft")]);
        command.args(["serve", "--listen", "127.0.0.1:0", "--store"]).arg(&store).env_remove("KEYLOFT_ADMIN_TOKEN");
        let (code, stderr) = refuses(&mut command);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("KEYLOFT_ADMIN_TOKEN_FILE"), "{stderr}");
    }
    assert!(Process::serve(&store, &[]).admin_token().is_some());
}

#[tokio::test]
async fn a_server_without_a_new_token_runs_though_nobody_reads_its_greeting() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut first = Process::serve(&store, &[]);
    first.signal("TERM");
    assert_eq!(first.wait(), Some(0));
    let (listener, address) = busy();
    drop(listener);
    let mut server = serve(&store, &address).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(server.stdout.take());
    let connect = async { while tokio::net::TcpStream::connect(&address).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(20), connect).await.unwrap();
    Client::anonymous(&format!("http://{address}")).until_ready().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(server.try_wait().unwrap().is_none());
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn a_mistyped_store_does_not_become_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (_listener, address) = busy();
    for store in ["s3:/bucket", "s3//bucket", "\"s3://bucket\"", "~/keys", "s3_x://bucket", "gs://bucket", " s3://b"] {
        let in_folder = |mut command: Command| refuses(command.current_dir(folder.path()));
        let mut by_variable = keyloft();
        by_variable.args(["serve", "--listen", &address]).env("KEYLOFT_STORE", store);
        for (code, stderr) in [in_folder(serve(Path::new(store), &address)), in_folder(by_variable)] {
            assert_eq!(code, 2, "{store}: {stderr}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{store}");
    }
}

#[tokio::test]
async fn files_are_for_their_owner_whatever_the_umask() {
    for umask in ["0", "0777"] {
        let folder = tempfile::tempdir().unwrap();
        let (store, log) = (folder.path().join("store"), folder.path().join("log"));
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_keyloft")]);
        command.env_remove("KEYLOFT_ADMIN_TOKEN");
        let log = std::fs::File::create(log).unwrap();
        let server = Process::start(command, log, store.to_str().unwrap(), &[], &[]);
        let admin = server.admin(server.admin_token().unwrap());
        let key = admin.issue("default", "sender", "ingestion").await;
        assert_eq!(server.with_key(&key.api_key).ingest("web", "{\"n\":1}").await.status, 200);
        let mut folders = vec![store.clone()];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
            for entry in std::fs::read_dir(&folder).unwrap().flatten() {
                let Ok(meta) = entry.metadata() else { continue };
                if meta.is_dir() {
                    folders.push(entry.path());
                } else {
                    files += 1;
                    assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{}", entry.path().display());
                }
            }
        }
        assert!(files >= 6, "{files}");
    }
}

#[test]
fn a_name_is_looked_up_and_the_greeting_says_where_somebody_answers() {
    let folder = tempfile::tempdir().unwrap();
    let named = Process::serve(&folder.path().join("a"), &["--listen", "localhost:0"]);
    assert!(named.url().starts_with("http://127.0.0.1:"), "{}", named.url());
    let everywhere = Process::serve(&folder.path().join("b"), &["--listen", "0.0.0.0:0"]);
    assert!(everywhere.greeting().contains("export KEYLOFT_URL=http://127.0.0.1:"), "{}", everywhere.greeting());
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let six = Process::serve(&folder.path().join("c"), &["--listen", "[::1]:0"]);
        assert!(six.greeting().contains("export KEYLOFT_URL=http://[::1]:"), "{}", six.greeting());
    }
    let (code, stderr) = refuses(&mut serve(&folder.path().join("d"), "nowhere.invalid:80"));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("cannot look up"), "{stderr}");
}
