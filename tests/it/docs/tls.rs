//! The README's TLS section: nginx and Caddy, configured as it says, in front of a real server.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use super::pages::{page, root};
use crate::support::Process;
use crate::support::process::keyloft;

const TOKEN: &str = "kl_adm_test_0123456789abcdef0123456789";

/// A proxy before a server. Killed when dropped.
struct Proxy {
    child: Child,
    url: String,
    certificate: PathBuf,
    _server: Process,
    _folder: tempfile::TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a proxy is started with.
struct Place<'a> {
    folder: &'a Path,
    port: u16,
    server: &'a str,
}

impl Proxy {
    /// Starts a server and what `command` makes of its place.
    fn start(command: impl FnOnce(&Place<'_>) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificate(folder.path());
        let server = Process::serve_with(
            &folder.path().join("store"),
            &["--trusted-proxies", "127.0.0.1"],
            &[("KEYLOFT_ADMIN_TOKEN", TOKEN)],
        );
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = Place { folder: folder.path(), port, server: server.url() };
        let child = command(&place).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let certificate = folder.path().join("certificate.pem");
        let proxy =
            Self { child, url: format!("https://localhost:{port}"), certificate, _server: server, _folder: folder };
        proxy.until_up();
        proxy
    }

    fn until_up(&self) {
        for _ in 0..200 {
            if self.curl("127.0.0.1", "liveness", &[]).status.success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the proxy does not answer in ten seconds");
    }

    /// Asks from an address of loopback; the proxy itself is 127.0.0.1.
    fn curl(&self, from: &str, route: &str, arguments: &[&str]) -> Output {
        Command::new("curl")
            .args(["-sS", "--interface", from, "--cacert", self.certificate.to_str().unwrap()])
            .arg(format!("{}/api/v1/{route}", self.url))
            .args(["-H", "Content-Type: application/json"])
            .args(arguments)
            .output()
            .unwrap()
    }

    /// The answer to a request with an API key.
    fn ask(&self, from: &str, route: &str, api_key: &str, arguments: &[&str]) -> String {
        let header = format!("X-API-KEY: {api_key}");
        let output = self.curl(from, route, &[&["-H", &header], arguments].concat());
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The status of the answer to events in a file.
    fn status(&self, from: &str, api_key: &str, file: &str) -> String {
        let header = format!("X-API-KEY: {api_key}");
        let arguments = ["-H", &header, "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", file];
        String::from_utf8(self.curl(from, "logstream/web", &arguments).stdout).unwrap()
    }

    /// Issues a key with the command line, which checks the certificate too.
    fn issue(&self, arguments: &[&str]) -> String {
        let mut command = keyloft();
        command.args(["key", "create", "--json"]).args(arguments);
        command.env("KEYLOFT_URL", &self.url).env("KEYLOFT_ADMIN_TOKEN", TOKEN);
        let output = command.env("SSL_CERT_FILE", &self.certificate).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let key: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        key["apiKey"].as_str().unwrap().to_owned()
    }

    /// What the section promises.
    fn holds(&self) {
        let query = self.issue(&["--name", "reader", "--type", "query"]);
        let ingestion = self.issue(&["--name", "shipper", "--type", "ingestion", "--allowed-cidrs", "127.0.0.2"]);
        let send = ["-d", r#"{"a": 1}"#];
        assert_eq!(self.ask("127.0.0.2", "logstream/web", &ingestion, &send), r#"{"accepted":1,"stream":"web"}"#);
        // What a client says of its own address does not count.
        let spoof = ["-H", "X-Forwarded-For: 127.0.0.2", "-H", "Forwarded: for=127.0.0.2", "-d", r#"{"a": 1}"#];
        assert!(self.ask("127.0.0.3", "logstream/web", &ingestion, &spoof).contains("network_not_allowed"));
        let sql = ["-d", r#"{"query": "SELECT count(*) AS n FROM web"}"#];
        assert_eq!(self.ask("127.0.0.3", "query", &query, &sql), r#"[{"n":1}]"#);
        // An early refusal reaches a client that is still sending. A proxy may cut its body when the server has closed.
        let body = self.certificate.with_file_name("large");
        std::fs::write(&body, vec![b'x'; 12_000_000]).unwrap();
        let large = format!("@{}", body.display());
        assert_eq!(self.status("127.0.0.2", &ingestion, &large), "413");
        assert_eq!(self.status("127.0.0.2", "unknown", &large), "401");
    }
}

/// A self-signed certificate for localhost.
fn certificate(folder: &Path) {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Where nginx and Caddy are unpacked.
fn programs() -> PathBuf {
    let output = Command::new(root().join("scripts/proxies.sh")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// A block of the README with other words; each must stand in it.
fn adapted(language: &str, changes: &[(&str, String)]) -> String {
    let readme = page("README.md");
    let mut text = readme.only(language).text.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "the block of {language} has no {from}");
        text = text.replace(from, to);
    }
    text
}

#[test]
#[cfg_attr(not(feature = "paused-time"), ignore = "fetches nginx and Caddy: run scripts/test.sh")]
fn nginx_terminates_tls_as_the_readme_says() {
    let programs = programs();
    let proxy = Proxy::start(|place| {
        let folder = place.folder.display();
        let server = adapted(
            "nginx",
            &[
                ("listen 443", format!("listen 127.0.0.1:{}", place.port)),
                ("/etc/ssl/keys.example.com.pem", format!("{folder}/certificate.pem")),
                ("/etc/ssl/keys.example.com.key", format!("{folder}/key.pem")),
                ("http://127.0.0.1:8000", place.server.to_owned()),
            ],
        );
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {folder}/{name};")).join(" ");
        let head = format!(
            "daemon off; master_process off; user root; pid {folder}/nginx.pid; error_log {folder}/nginx.log; events {{}}"
        );
        let text = format!("{head}\nhttp {{ access_log off; {temporary}\n{server}}}\n");
        let configuration = place.folder.join("nginx.conf");
        std::fs::write(&configuration, text).unwrap();
        let (arch, programs) = (std::env::consts::ARCH, programs.display());
        let libraries = format!("{programs}/usr/lib/{arch}-linux-gnu:{programs}/lib/{arch}-linux-gnu");
        let mut nginx = Command::new(format!("{programs}/usr/sbin/nginx"));
        nginx.args(["-e", "nginx.log", "-p"]).arg(place.folder).arg("-c").arg(configuration);
        nginx.env("LD_LIBRARY_PATH", libraries);
        nginx
    });
    proxy.holds();
}

#[test]
#[cfg_attr(not(feature = "paused-time"), ignore = "fetches nginx and Caddy: run scripts/test.sh")]
fn caddy_terminates_tls_as_the_readme_says() {
    let programs = programs();
    let proxy = Proxy::start(|place| {
        let folder = place.folder.display();
        // It has a certificate already, and does not try to get one.
        let site = format!(
            "https://localhost:{} {{\n\tbind 127.0.0.1\n\ttls {folder}/certificate.pem {folder}/key.pem",
            place.port
        );
        let upstream = place.server.trim_start_matches("http://").to_owned();
        let text = adapted("caddyfile", &[("keys.example.com {", site), ("127.0.0.1:8000", upstream)]);
        let configuration = place.folder.join("Caddyfile");
        std::fs::write(&configuration, format!("{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{text}")).unwrap();
        let mut caddy = Command::new(programs.join("usr/bin/caddy"));
        caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(configuration).env("HOME", place.folder);
        caddy
    });
    proxy.holds();
}
