//! The real binary: a server that can be killed, and the commands of operators.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use super::Client;

/// A `keyloft serve` of its own. Killed when dropped.
pub struct Process {
    child: Child,
    /// Kept open: a server that cannot finish its greeting does not start.
    _stdout: BufReader<ChildStdout>,
    url: String,
    admin_token: Option<String>,
    greeting: String,
}

impl Process {
    /// Starts a server on a directory and waits until it greets.
    pub fn serve(directory: &Path, options: &[&str]) -> Self {
        Self::serve_with(directory, options, &[])
    }

    /// The same with variables of its environment.
    pub fn serve_with(directory: &Path, options: &[&str], variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let log = directory.with_extension("log");
        Self::serve_store(directory.to_str().unwrap(), &log, options, &variables.collect::<Vec<_>>())
    }

    /// The same on any store, with its log in a file of its own.
    pub fn serve_store(store: &str, log: &Path, options: &[&str], variables: &[(String, String)]) -> Self {
        Self::serve_logging_to(std::fs::File::create(log).unwrap(), store, options, variables)
    }

    /// The same with its log anywhere.
    pub fn serve_logging_to(
        log: impl Into<Stdio>,
        store: &str,
        options: &[&str],
        variables: &[(String, String)],
    ) -> Self {
        Self::start(keyloft(), log, store, options, variables)
    }

    /// The same by a command that ends with the server's.
    pub fn start(
        mut command: Command,
        log: impl Into<Stdio>,
        store: &str,
        options: &[&str],
        variables: &[(String, String)],
    ) -> Self {
        let mut child = command
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .args(["serve", "--store", store])
            .args(if options.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] })
            .args(options)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("--type query\n") && stdout.read_line(&mut greeting).unwrap() > 0 {}
        let words: Vec<&str> = greeting.split_whitespace().collect();
        let url = words.iter().find(|word| word.starts_with("http://")).expect("an address").to_string();
        let token = words.iter().find_map(|word| word.strip_prefix("KEYLOFT_ADMIN_TOKEN="));
        let admin_token = token.filter(|token| token.starts_with("kl_adm_")).map(str::to_owned);
        Self { child, _stdout: stdout, url, admin_token, greeting: greeting.clone() }
    }

    /// The admin token that it printed, if it did.
    pub fn admin_token(&self) -> Option<&str> {
        self.admin_token.as_deref()
    }

    /// What it said when it started.
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Somebody who presents nothing.
    pub fn anonymous(&self) -> Client {
        Client::anonymous(&self.url)
    }

    /// Somebody with this admin token.
    pub fn admin(&self, token: &str) -> Client {
        Client::admin(&self.url, token)
    }

    /// Somebody with an API key.
    pub fn with_key(&self, api_key: &str) -> Client {
        Client::with_key(&self.url, api_key)
    }

    /// Sends a signal by its name, to this process only.
    pub fn signal(&self, name: &str) {
        send_signal(self.child.id(), name);
    }

    /// Lets no file grow beyond so many bytes from now on, as `ulimit -f` does; `None` lifts that.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let pid = self.child.id().to_string();
        let status = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limit}:")]).status().unwrap();
        assert!(status.success());
    }

    /// The most memory that it has had since [`Process::forget_peak_memory`], in bytes.
    #[cfg(target_os = "linux")]
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// See `proc_pid_clear_refs(5)`.
    #[cfg(target_os = "linux")]
    pub fn forget_peak_memory(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    /// Waits for the end and gives the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by its name to a process that the caller started.
pub fn send_signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// The command without the variables of the machine that runs the tests.
pub fn keyloft() -> Command {
    cleared(Command::new(program()))
}

/// The program that is tested: `KEYLOFT_TEST_BINARY`, such as a release build, or the one built with the tests.
fn program() -> std::ffi::OsString {
    std::env::var_os("KEYLOFT_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_keyloft").into())
}

fn cleared(mut command: Command) -> Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KEYLOFT_") || name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command of an operator with something on its standard input.
pub fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let mut output = Output { status: child.wait().unwrap(), stdout: Vec::new(), stderr: Vec::new() };
    child.stdout.take().unwrap().read_to_end(&mut output.stdout).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut output.stderr).unwrap();
    output
}
