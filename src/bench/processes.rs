//! What is measured: some `hooktide run`, or a program in their stead. It counts as started when it is
//! ready, by its own word and by Kafka's.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::child::Child;
use super::report::Start;
use super::usage::Usage;
use super::{Bench, BenchError, GLANCE};
use crate::role::Role;
use crate::telemetry::question::{self, Question};

/// How long everything may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// All that was started.
pub(super) struct Running {
    pub(super) processes: Vec<Child>,
    /// None of a program.
    pub(super) start: Option<Start>,
}

impl Bench<'_> {
    /// Starts what is measured, and waits until it is ready.
    pub(super) fn start_processes(
        &self,
        roles: &[Role],
        receiver: SocketAddr,
    ) -> Result<Running, BenchError> {
        self.bar.set_message("starting");
        if let Some(program) = &self.plan.asked().instead {
            let mut processes = vec![self.start_program(program, receiver)?];
            self.wait_until_ready(&[Role::Dispatcher], &[], &mut processes)?;
            let start = None;
            return Ok(Running { processes, start });
        }
        let began = Instant::now();
        let (mut processes, mut addresses) = (Vec::new(), Vec::new());
        for _ in 0..self.plan.asked().processes {
            // One that is taken meanwhile ends the run with an error.
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            let mut command = self.installation.run_child(roles)?;
            command.env("HOOKTIDE__TELEMETRY__LISTEN", free.to_string());
            processes.push(Child::spawn("hooktide run", &mut command)?);
            addresses.push(free.to_string());
        }
        self.wait_until_ready(roles, &addresses, &mut processes)?;
        let ready_in = began.elapsed().as_secs_f64();
        let pids: Vec<u32> = processes.iter().map(Child::id).collect();
        let start = Some(Start {
            ready_in,
            memory_bytes: Usage::of_all(&pids).map(|usage| usage.memory),
        });
        Ok(Running { processes, start })
    }

    fn start_program(&self, program: &str, receiver: SocketAddr) -> Result<Child, BenchError> {
        let config = &self.installation.config;
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("exec {program}")])
            .env("BOOTSTRAP_SERVERS", &config.kafka.bootstrap_servers)
            .env("TOPIC", &self.installation.events)
            // Asked after, and removed at the end, as if it were hooktide's.
            .env("GROUP", config.group(Role::Dispatcher))
            .env("URL", format!("{}://{receiver}/", self.scheme()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0);
        Ok(Child::spawn_foreign("the program", &mut command)?)
    }

    /// Waits until every process is in its groups, and those with an address say that they are ready.
    fn wait_until_ready(
        &self,
        roles: &[Role],
        addresses: &[String],
        processes: &mut [Child],
    ) -> Result<(), BenchError> {
        let deadline = Instant::now() + READY;
        let is_ready = |address: &String| {
            let answer = question::ask(address, Question::Ready);
            self.runtime.block_on(answer).is_ok_and(|it| it.is_good)
        };
        let is_complete = |role: &Role| {
            let members = self.admin.stable_members(&self.installation.config, *role);
            self.runtime.block_on(members) == Some(self.plan.asked().processes)
        };
        while !(addresses.iter().all(is_ready) && roles.iter().all(is_complete)) {
            if Instant::now() > deadline {
                return Err(BenchError::NotReady(READY.as_secs()));
            }
            for process in processes.iter_mut() {
                process.must_run()?;
            }
            self.go_on()?;
            thread::sleep(GLANCE);
        }
        Ok(())
    }
}
