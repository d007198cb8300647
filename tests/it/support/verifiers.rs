//! Receivers' code that is not ours, and the snippets of the receivers' guide, in Python and in Node: with
//! the packages that the files beside this one name, from where their package managers get them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::receiver::Received;

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");
const FILES: &str = "tests/it/support/verifiers";

/// A language with its packages.
#[derive(Clone, Debug)]
pub struct Verifier {
    program: PathBuf,
    ending: &'static str,
    home: PathBuf,
}

/// Those that this machine can run; a loud line for the others, and an error for them in CI.
pub async fn all() -> anyhow::Result<Vec<Verifier>> {
    tokio::task::spawn_blocking(|| {
        let mut found = Vec::new();
        for (name, prepared) in [("Python", python()), ("Node", node())] {
            match prepared {
                Ok(verifier) => found.push(verifier),
                Err(error) if std::env::var("CI").is_ok_and(|value| value == "true") => {
                    return Err(error.context(name));
                }
                Err(error) => skipped(name, &error),
            }
        }
        Ok(found)
    })
    .await?
}

#[expect(clippy::print_stderr, reason = "what is skipped is said")]
fn skipped(name: &str, error: &anyhow::Error) {
    eprintln!("\n*** SKIPPED: verifiers in {name}: {error:#} ***\n");
}

fn python() -> anyhow::Result<Verifier> {
    let home = prepared("python", &["requirements.txt"], |home| {
        run(Command::new("python3").args(["-m", "venv"]).arg(home))?;
        run(Command::new(home.join("bin/pip"))
            .args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(home.join("requirements.txt")))
    })?;
    Ok(Verifier {
        program: home.join("bin/python"),
        ending: "py",
        home,
    })
}

fn node() -> anyhow::Result<Verifier> {
    let home = prepared("node", &["package.json", "package-lock.json"], |home| {
        run(Command::new("npm")
            .args([
                "ci",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
            ])
            .current_dir(home))
    })?;
    Ok(Verifier {
        program: "node".into(),
        ending: "js",
        home,
    })
}

/// A folder with copies of these files and what was installed by them; made anew when they have changed.
fn prepared(
    name: &str,
    files: &[&str],
    install: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-verifiers");
    fs::create_dir_all(&all)?;
    let lock = File::create(all.join("lock"))?;
    lock.lock()?;
    let home = all.join(name);
    let source = |file: &str| fs::read(Path::new(PACKAGE).join(FILES).join(file));
    let is_current = |file: &&str| source(file).ok() == fs::read(home.join(file)).ok();
    let done = home.join("done");
    if !(done.exists() && files.iter().all(is_current)) {
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        fs::create_dir_all(&home)?;
        for file in files {
            fs::write(home.join(file), source(file)?)?;
        }
        install(&home)?;
        File::create(done)?;
    }
    Ok(home)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

impl Verifier {
    /// Whether the package `standardwebhooks` takes a request.
    pub async fn standard(&self, secret: &str, request: &Received) -> anyhow::Result<bool> {
        self.takes(FILES, "standard", &[secret], &as_json(request)?)
            .await
    }

    /// Whether the guide's snippet for an older form takes it.
    pub async fn older(
        &self,
        form: &str,
        secret: &str,
        request: &Received,
    ) -> anyhow::Result<bool> {
        let input = as_json(request)?;
        self.takes("docs/receivers", "older", &[form, secret], &input)
            .await
    }

    /// Whether the receiver of a folder of `examples/` takes it.
    pub async fn example(
        &self,
        name: &str,
        secret: &str,
        request: &Received,
    ) -> anyhow::Result<bool> {
        let folder = format!("examples/{name}");
        self.takes(&folder, "receiver", &[secret], &as_json(request)?)
            .await
    }

    /// Whether the guide's snippet for key pairs takes it.
    pub async fn v1a(&self, public_key: &str, request: &Received) -> anyhow::Result<bool> {
        let header = |name| request.header(name).unwrap_or_default();
        let arguments = [
            public_key,
            header("webhook-id"),
            header("webhook-timestamp"),
            header("webhook-signature"),
        ];
        self.takes("docs/receivers", "v1a", &arguments, &request.body)
            .await
    }

    async fn takes(
        &self,
        folder: &str,
        script: &str,
        arguments: &[&str],
        input: &[u8],
    ) -> anyhow::Result<bool> {
        let script = format!("{script}.{}", self.ending);
        let mut command = Command::new(&self.program);
        command
            .arg(Path::new(PACKAGE).join(folder).join(script))
            .args(arguments)
            .env("NODE_PATH", self.home.join("node_modules"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let input = input.to_vec();
        tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
            let mut pipe = child.stdin.take().context("stdin is piped")?;
            // It may refuse before it has read everything.
            drop(pipe.write_all(&input));
            drop(pipe);
            let output = child.wait_with_output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            match output.status.code() {
                Some(0) => Ok(true),
                Some(1) if said.is_empty() => Ok(false),
                _ => anyhow::bail!("{command:?}: {said}"),
            }
        })
        .await?
    }
}

fn as_json(request: &Received) -> anyhow::Result<Vec<u8>> {
    let mut headers = BTreeMap::new();
    for (name, value) in &request.headers {
        headers.insert(name.to_lowercase(), str::from_utf8(value)?);
    }
    let request = json!({"headers": headers, "body": STANDARD.encode(&request.body)});
    Ok(request.to_string().into_bytes())
}
