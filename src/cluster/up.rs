use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::info;

use super::dirs::{private_dir, write_private};
use super::install::find;
use super::probe::{self, Probe};
use super::process::ProcessId;
use super::spawn::{Launch, launch};
use super::state::{ComponentEntry, ProgramEntry};
use super::{
    Cluster, ClusterError, ClusterSpec, Component, Program, SchedulerSpec, Settings, flags, logs, pki, ports,
};

/// How long a component may take to become ready: many times what it takes on a busy two-core machine.
const READY_WITHIN: Duration = Duration::from_mins(3);
const REPORT_EVERY: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
/// How many lines of a component's log an error shows.
const SHOWN: usize = 15;
/// A port that was free may be taken before the component binds it.
const ATTEMPTS: usize = 3;

/// Starts a control plane and returns once all of it is ready. If anything fails, or the future is dropped, what was
/// started is stopped and removed.
pub async fn up(spec: &ClusterSpec) -> Result<Cluster, ClusterError> {
    spec.check()?;
    // Before programs are looked for, which can take minutes; `create` looks again, and settles a race.
    if spec.dirs.layout(&spec.name).root.exists() {
        let state = super::list::info(&spec.name, &spec.dirs).status.to_string();
        return Err(ClusterError::NameInUse { name: spec.name.clone(), state });
    }
    let programs = programs(spec).await?;
    let mut cluster = Cluster::create(spec, &programs)?;
    match cluster.start_all(spec).await {
        Ok(()) => {
            cluster.armed = !spec.detach;
            Ok(cluster)
        }
        Err(error) => {
            let error = cluster.keep_log(error);
            // The first failure is the one to report; dropping the cluster removes what `down` could not.
            let _ = cluster.down().await;
            Err(error)
        }
    }
}

async fn programs(spec: &ClusterSpec) -> Result<Vec<Program>, ClusterError> {
    let (servers, scheduler) = (&Component::ALL[..3], &Component::ALL[3..]);
    let own = spec.scheduler.binary.is_some();
    if !own && spec.scheduler.version == spec.version {
        return find(&spec.version, &Component::ALL, &spec.source, &spec.dirs).await;
    }
    let mut programs = find(&spec.version, servers, &spec.source, &spec.dirs).await?;
    if !own {
        programs.extend(find(&spec.scheduler.version, scheduler, &spec.source, &spec.dirs).await?);
    }
    Ok(programs)
}

impl From<&Program> for ProgramEntry {
    fn from(program: &Program) -> ProgramEntry {
        ProgramEntry { version: program.version.clone(), path: program.path.clone() }
    }
}

/// How the wait for a component ended.
enum Wait {
    Ready,
    Died(String),
    TimedOut(String),
}

impl Cluster {
    async fn start_all(&mut self, spec: &ClusterSpec) -> Result<(), ClusterError> {
        self.launch_until_ready(Component::Etcd, None, None).await?;
        self.launch_until_ready(Component::ApiServer, None, spec.port).await?;
        self.write_kubeconfigs()?;
        self.set_scheduler_program(&spec.scheduler);
        self.launch(Component::ControllerManager, None, None, true).await?;
        self.launch(Component::Scheduler, Some(&spec.scheduler), None, true).await?;
        self.settle(Component::ControllerManager, None, None).await?;
        self.settle(Component::Scheduler, Some(&spec.scheduler), None).await?;
        info!("cluster {} is ready", self.name());
        Ok(())
    }

    /// Starts a scheduler, after `stop_component` has stopped the last one. The version must be in reach: see
    /// [`super::install`].
    pub async fn start_scheduler(&mut self, spec: &SchedulerSpec) -> Result<(), ClusterError> {
        let current = self.scheduler_version().cloned();
        if spec.binary.is_none() && current.as_ref() != Some(&spec.version) {
            let found =
                find(&spec.version, &[Component::Scheduler], &super::Source::Auto, &self.dirs).await?;
            self.state.programs.extend(found.iter().map(|p| (p.component, p.into())));
        }
        self.set_scheduler_program(spec);
        self.restart(Component::Scheduler, Some(spec)).await
    }

    /// Starts the controller manager with other settings, after `stop_component` has stopped it.
    pub async fn start_controllers(&mut self, settings: &Settings) -> Result<(), ClusterError> {
        self.state.settings = settings.clone();
        self.restart(Component::ControllerManager, None).await
    }

    async fn restart(
        &mut self,
        component: Component,
        spec: Option<&SchedulerSpec>,
    ) -> Result<(), ClusterError> {
        if self.process(component).is_some() {
            self.stop_component(component).await?;
        }
        self.launch(component, spec, None, false).await?;
        let settled = self.settle(component, spec, None).await;
        settled.map_err(|error| self.keep_log(error))
    }

    fn set_scheduler_program(&mut self, spec: &SchedulerSpec) {
        if let Some(path) = &spec.binary {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let entry = ProgramEntry { version: spec.version.clone(), path };
            self.state.programs.insert(Component::Scheduler, entry);
        }
    }

    async fn launch_until_ready(
        &mut self,
        component: Component,
        spec: Option<&SchedulerSpec>,
        port: Option<u16>,
    ) -> Result<(), ClusterError> {
        self.launch(component, spec, port, true).await?;
        self.settle(component, spec, port).await
    }

    /// Waits for a launched component; one that lost its port to another program is launched again with a new one.
    async fn settle(
        &mut self,
        component: Component,
        spec: Option<&SchedulerSpec>,
        port: Option<u16>,
    ) -> Result<(), ClusterError> {
        for attempt in 1.. {
            let outcome = self.wait(component).await?;
            if matches!(outcome, Wait::Ready) {
                return Ok(());
            }
            let log = self.layout.log(component);
            let tail = logs::tail(&log, SHOWN)?;
            match outcome {
                Wait::Ready => {}
                Wait::Died(status) => {
                    self.forget(component);
                    if port.is_some() || attempt >= ATTEMPTS || !tail.contains("address already in use") {
                        return Err(ClusterError::Died { component, status, tail, log });
                    }
                    info!("{component} lost its port to another program, trying another");
                    self.launch(component, spec, port, true).await?;
                }
                Wait::TimedOut(answer) => {
                    let seconds = READY_WITHIN.as_secs();
                    return Err(ClusterError::NotReady { component, seconds, answer, tail, log });
                }
            }
        }
        Ok(())
    }

    async fn launch(
        &mut self,
        component: Component,
        spec: Option<&SchedulerSpec>,
        port: Option<u16>,
        fresh_log: bool,
    ) -> Result<(), ClusterError> {
        let [free, peer] = ports::free::<2>()?;
        let port = port.unwrap_or(free);
        let args = self.args(component, spec, port, peer)?;
        let Some(program) = self.state.programs.get(&component) else {
            return Err(ClusterError::NotRunning { name: self.name().to_owned(), component });
        };
        let program = program.path.clone();
        let failed = |source| ClusterError::Spawn { component, program: program.clone(), source };
        let shim = match &self.shim {
            Some(shim) => shim.clone(),
            None => std::env::current_exe().map_err(failed)?,
        };
        info!("starting {component}");
        let launched = launch(Launch {
            shim: &shim,
            program: &program,
            args,
            folder: &self.layout.root,
            log: self.layout.log(component),
            detach: self.state.detached,
            fresh_log,
        });
        let mut child = launched.await.map_err(failed)?;
        let Some(process) = ProcessId::of(child.id()) else {
            let status = child.wait().map_err(failed)?;
            return Err(self.died(component, status));
        };
        self.children.insert(component, child);
        self.state.components.insert(component, ComponentEntry { process, port });
        self.save()
    }

    fn args(
        &self,
        component: Component,
        spec: Option<&SchedulerSpec>,
        port: u16,
        peer: u16,
    ) -> Result<Vec<String>, ClusterError> {
        let (layout, settings) = (&self.layout, &self.state.settings);
        let not_running = |component| ClusterError::NotRunning { name: self.name().to_owned(), component };
        Ok(match component {
            Component::Etcd => flags::etcd(layout, port, peer, settings),
            Component::ApiServer => {
                let etcd = self.state.port(Component::Etcd).ok_or_else(|| not_running(Component::Etcd))?;
                flags::api_server(layout, port, etcd, settings)
            }
            Component::ControllerManager => flags::controller_manager(layout, port, settings),
            Component::Scheduler => {
                let spec = spec.ok_or_else(|| not_running(component))?;
                let config = flags::scheduler_config(layout, spec.config.as_ref());
                write_private(&layout.scheduler_config(), pki::pretty(&config).as_bytes())?;
                flags::scheduler(layout, port, spec, settings)
            }
        })
    }

    fn write_kubeconfigs(&self) -> Result<(), ClusterError> {
        let name = self.name();
        let server = self.url(Component::ApiServer).ok_or_else(|| ClusterError::NotRunning {
            name: name.to_owned(),
            component: Component::ApiServer,
        })?;
        for component in [Component::Scheduler, Component::ControllerManager] {
            let path = self.layout.component_kubeconfig(component);
            pki::write_kubeconfig(&self.layout, &path, name, &server, &format!("{component}-client"))?;
        }
        pki::write_kubeconfig(&self.layout, &self.layout.kubeconfig(), name, &server, "admin")
    }

    /// Waits until the component answers, or has ended.
    async fn wait(&mut self, component: Component) -> Result<Wait, ClusterError> {
        let Some(port) = self.state.port(component) else {
            return Ok(Wait::Died("never started".to_owned()));
        };
        let probe = Probe::new(&self.layout, port).await?;
        let mut answer = "none yet".to_owned();
        let poll = async {
            for path in probe::paths(component) {
                while let Err(said) = probe.get(path).await {
                    answer = said;
                    if let Some(status) = self.ended(component) {
                        return Wait::Died(status);
                    }
                    sleep(POLL).await;
                }
            }
            // Another program may have answered in the place of one that ended.
            self.ended(component).map_or(Wait::Ready, Wait::Died)
        };
        let outcome = timeout(READY_WITHIN, reporting(component, poll)).await;
        Ok(outcome.unwrap_or(Wait::TimedOut(answer)))
    }

    /// How the component ended, if it has.
    fn ended(&mut self, component: Component) -> Option<String> {
        match self.children.get_mut(&component)?.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    fn forget(&mut self, component: Component) {
        self.state.components.remove(&component);
        self.reap(component);
    }

    fn died(&self, component: Component, status: ExitStatus) -> ClusterError {
        let log = self.layout.log(component);
        let tail = logs::tail(&log, SHOWN).unwrap_or_default();
        ClusterError::Died { component, status: status.to_string(), tail, log }
    }

    /// Saves the log that an error names from being removed with the cluster.
    fn keep_log(&self, mut error: ClusterError) -> ClusterError {
        if let ClusterError::Died { component, log, .. } | ClusterError::NotReady { component, log, .. } =
            &mut error
        {
            let kept: PathBuf = self.dirs.failed_log(self.name(), *component);
            let saved = kept.parent().is_some_and(|folder| private_dir(folder).is_ok())
                && fs::copy(&log, &kept).is_ok();
            if saved {
                *log = kept;
            }
        }
        error
    }
}

/// Says every few seconds that something is still being waited for.
async fn reporting<T>(component: Component, work: impl Future<Output = T>) -> T {
    let mut tick = tokio::time::interval(REPORT_EVERY);
    tick.tick().await;
    let mut seconds = 0;
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = tick.tick() => {
                seconds += REPORT_EVERY.as_secs();
                info!("waiting for {component} ({seconds} s)");
            }
        }
    }
}
