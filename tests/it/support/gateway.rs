//! A gateway of Ceph that belongs to one test: it may be paused and killed without anybody else noticing.

use std::ffi::OsString;
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::stores::started;
use super::{TestStore, process};

/// A second process like the victim of `scripts/ceph.sh`, on a port of its own. Killed when dropped.
pub struct Gateway {
    program: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    port: u16,
    child: Child,
}

impl Gateway {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        let of_victim = PathBuf::from(format!("/proc/{}", started("KEYLOFT_TEST_CEPH_VICTIM_PID")));
        let program = std::fs::read_link(of_victim.join("exe")).expect("the victim runs");
        let words = |file: &str| -> Vec<OsString> {
            let text = std::fs::read(of_victim.join(file)).unwrap();
            text.split(|byte| *byte == 0)
                .filter(|word| !word.is_empty())
                .map(|word| OsString::from_vec(word.to_vec()))
                .collect()
        };
        let variables = words("environ").into_iter().filter_map(|pair| {
            let pair = pair.into_vec();
            let at = pair.iter().position(|byte| *byte == b'=')?;
            Some((OsString::from_vec(pair[..at].to_vec()), OsString::from_vec(pair[at + 1..].to_vec())))
        });
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut arguments = words("cmdline").split_off(1);
        let frontend = format!("--rgw-frontends=beast endpoint=127.0.0.1:{port} tcp_nodelay=1");
        arguments.extend([&frontend, "--admin-socket=", "--pid-file=", "--log-file="].map(OsString::from));
        let variables: Vec<_> = variables.collect();
        let child = spawn(&program, &arguments, &variables);
        let gateway = Self { program, arguments, variables, port, child };
        gateway.until_answers();
        gateway
    }

    /// A fresh place on it.
    pub fn store(&self) -> TestStore {
        let (key, secret) = (started("KEYLOFT_TEST_ACCESS_KEY"), started("KEYLOFT_TEST_SECRET_KEY"));
        TestStore::at(&self.url(), &key, &secret)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on no request is answered, and none refused.
    pub fn pause(&self) {
        process::send_signal(self.child.id(), "STOP");
    }

    pub fn resume(&self) {
        process::send_signal(self.child.id(), "CONT");
    }

    /// From now on every connection is refused.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`Gateway::kill`], on the same port.
    pub fn restart(&mut self) {
        self.child = spawn(&self.program, &self.arguments, &self.variables);
        self.until_answers();
    }

    fn until_answers(&self) {
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the gateway does not answer within half a minute");
    }
}

fn spawn(program: &Path, arguments: &[OsString], variables: &[(OsString, OsString)]) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
