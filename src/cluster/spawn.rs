//! Starts components so that they end with their parent.
//!
//! A component is started as `kubereel __component … -- PROGRAM ARGS`. That shim asks the kernel to kill it when its
//! parent dies, leaves the terminal's process group, and becomes the program. The kernel takes the *thread* that
//! forked for the parent, so all components are forked by one thread that lives as long as this process.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};

use rustix::process::{Signal, getppid, set_parent_process_death_signal, setpgid, setsid};
use tokio::sync::oneshot;

/// The hidden subcommand that [`become_component`] serves.
pub const SHIM_COMMAND: &str = "__component";

struct Request {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// What to start and how.
pub(super) struct Launch<'a> {
    pub shim: &'a Path,
    pub program: &'a Path,
    pub args: Vec<String>,
    pub folder: &'a Path,
    pub log: PathBuf,
    pub detach: bool,
    /// Whether what the log holds is thrown away.
    pub fresh_log: bool,
}

/// Starts a program from the spawner thread, its output going to the log.
pub(super) async fn launch(launch: Launch<'_>) -> io::Result<Child> {
    let mut options = OpenOptions::new();
    options.create(true);
    if launch.fresh_log {
        options.write(true).truncate(true).open(&launch.log)?;
    }
    let log = options.truncate(false).append(true).open(&launch.log)?;
    let mut command = Command::new(launch.shim);
    command.arg(SHIM_COMMAND);
    if launch.detach {
        command.arg("--detach");
    }
    command
        .arg("--parent")
        .arg(std::process::id().to_string())
        .arg("--")
        .arg(launch.program)
        .args(launch.args);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(launch.folder);
    let (reply, answer) = oneshot::channel();
    let gone = || io::Error::other("the spawner thread is gone");
    spawner().send(Request { command, reply }).map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

fn spawner() -> &'static mpsc::Sender<Request> {
    static SPAWNER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        let serve = move || {
            for mut request in requests {
                if let Err(Ok(mut unwanted)) = request.reply.send(request.command.spawn()) {
                    // Whoever asked was cancelled meanwhile and would never stop it.
                    let _ = unwanted.kill();
                    let _ = unwanted.wait();
                }
            }
        };
        // Without the thread the receiver is dropped, and every launch says so.
        let _ = std::thread::Builder::new().name("spawner".to_owned()).spawn(serve);
        sender
    })
}

/// Turns this process into a component; returns only if that fails. Call it before any other thread is started.
///
/// `parent` is the process that asked for it: if it died before the kernel was told to watch it, nobody would ever
/// end the component, so it is not started.
pub fn become_component(parent: u32, detach: bool, program: &Path, args: &[OsString]) -> io::Error {
    if let Err(error) = prepare(parent, detach) {
        return error;
    }
    Command::new(program).args(args).exec()
}

fn prepare(parent: u32, detach: bool) -> io::Result<()> {
    if detach {
        setsid()?;
        return Ok(());
    }
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let now = getppid().map(|pid| pid.as_raw_nonzero().get());
    if now != i32::try_from(parent).ok() {
        return Err(io::Error::other(format!(
            "the process {parent} that asked for this component has ended"
        )));
    }
    // Out of the terminal's foreground group: Ctrl-C is for kubereel, which then stops everything in order.
    setpgid(None, None)?;
    Ok(())
}
