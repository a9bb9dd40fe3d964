use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;

use crate::cli::args::{ConnectArgs, Format, Level, anonymizer, parse_duration, parse_size};
use crate::cluster::Dirs;
use crate::k8s::{Target, discover};
use crate::record::{
    Afterwards, FileNames, Files, Redaction, Retention, Rotation, Selection, Sensitive, SeriesOptions, Store,
};
use crate::trace::{ClusterInfo, Detail, Header, WriteOptions};

/// How often a recording to a store begins another file, unless told otherwise: a file is uploaded once it is sealed.
const STORE_ROTATION: Duration = Duration::from_hours(1);

/// Records pods, nodes and what a scheduler reads besides them, until Ctrl-C or for a while.
///
/// Needs list and watch of pods and nodes; other kinds that it may not see are named in a warning and left out. What
/// no replay needs and what may hold secrets is taken out before it is written. The file is readable up to the last
/// second whatever happens to the recorder.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel record -o prod.reel                          until Ctrl-C
  kubereel record -o prod.reel --context prod --duration 1h
  kubereel record -o prod.reel --rotate-every 1h --keep-bytes 20GiB --metrics-addr 127.0.0.1:9464
  kubereel record -o s3://traces/clusters/prod --spool /var/spool/kubereel --anonymize key
  kubereel record -o shop.reel --namespace shop --selector tier=web --kinds widgets.example.com --events

docs/recording.md is the guide: permissions, sizes, metrics, stores.")]
pub(in crate::cli) struct RecordArgs {
    /// Where the reel goes: a file, or `s3://BUCKET/NAME`, `gs://BUCKET/NAME`, `az://CONTAINER/NAME`.
    #[arg(short, long, value_name = "FILE|URL")]
    out: String,
    /// Stop by itself after this time: 90s, 10m, 1h30m.
    #[arg(long, value_parser = parse_duration)]
    pub(super) duration: Option<Duration>,
    /// How much of each pod and node to keep.
    #[arg(long, value_enum, default_value_t = Level::Lossless)]
    level: Level,
    /// Replace the file if it exists.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    pub(super) source: ConnectArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    redact: RedactArgs,
    #[command(flatten)]
    files: FileArgs,
    /// Serve /metrics (Prometheus), /healthz and /readyz there, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDRESS", help_heading = "Being watched")]
    pub(super) metrics_addr: Option<SocketAddr>,
    /// Without a terminal: log how it goes this often.
    #[arg(long, value_parser = parse_duration, default_value = "1m", help_heading = "Being watched")]
    pub(super) log_every: Duration,
    /// How to print the summary at the end.
    #[arg(long, value_enum, default_value_t = Format::Table, help_heading = "Being watched")]
    pub(super) format: Format,
}

/// What is recorded.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is recorded")]
struct SelectArgs {
    /// Only what is in this namespace; may be repeated. Nodes and other kinds without namespace stay.
    #[arg(long, value_name = "NAME")]
    namespace: Vec<String>,
    /// Nothing that is in this namespace; may be repeated.
    #[arg(long, value_name = "NAME", conflicts_with = "namespace")]
    exclude_namespace: Vec<String>,
    /// Only pods with these labels, as `kubectl --selector` takes it.
    #[arg(short = 'l', long, value_name = "LABELS", default_value = "", hide_default_value = true)]
    selector: String,
    /// Kinds besides the usual ones, as `kubectl api-resources` names them: widgets.example.com.
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    kinds: Vec<String>,
    /// The events of a scheduler too; may be repeated.
    #[arg(long, value_name = "SCHEDULER", num_args = 0..=1, require_equals = true, default_missing_value = "default-scheduler")]
    events: Vec<String>,
}

/// What is taken out.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is taken out")]
struct RedactArgs {
    /// Keep what is taken out by default: env, args, last-applied, pull-secrets, termination-messages, data,
    /// managed-fields.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    keep: Vec<Sensitive>,
    /// Keep metadata.managedFields, as --keep managed-fields does.
    #[arg(long)]
    managed_fields: bool,
    /// Replace names, namespaces, labels and images by hashes keyed with the secret in this file.
    #[arg(long, value_name = "KEYFILE")]
    anonymize: Option<PathBuf>,
}

/// How the recording is cut into files, and what becomes of them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
struct FileArgs {
    /// Begin another file at this size: 512MiB, 2GB.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    rotate_size: Option<u64>,
    /// Begin another file after this time; 1h for a store.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    rotate_every: Option<Duration>,
    /// Keep at most so many sealed files.
    #[arg(long, value_name = "N")]
    keep_files: Option<usize>,
    /// Keep at most so many bytes of sealed files.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    keep_bytes: Option<u64>,
    /// Where files wait for their upload to a store; default: a folder of the state directory.
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// How long to go on trying to upload at the end.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1m")]
    last_uploads: Duration,
}

impl RecordArgs {
    /// The recording that is asked for.
    ///
    /// # Errors
    /// Where the arguments contradict each other, or name what the cluster or the store does not have.
    pub(super) async fn options(
        &self,
        target: &Target,
        scheduler_version: &str,
    ) -> anyhow::Result<SeriesOptions> {
        let selection = self.select.selection(target).await?;
        let redaction = self.redact.redaction()?;
        let (files, rotation, afterwards) = self.files.destination(&self.out).await?;
        // Of an anonymized pod only the lifecycle level is left.
        let detail = if self.redact.anonymize.is_some() { Detail::Lifecycle } else { self.level.into() };
        Ok(SeriesOptions {
            kinds: selection.kinds(),
            redaction: Arc::new(redaction),
            header: header(target, scheduler_version, &selection),
            write: WriteOptions { overwrite: self.overwrite, detail, ..WriteOptions::default() },
            files,
            rotation,
            afterwards,
        })
    }
}

impl SelectArgs {
    async fn selection(&self, target: &Target) -> anyhow::Result<Selection> {
        let mut more = Vec::new();
        for name in &self.kinds {
            more.push(discover(&target.client, name).await?);
        }
        Ok(Selection {
            namespaces: self.namespace.clone(),
            excluded: self.exclude_namespace.clone(),
            selector: self.selector.clone(),
            more,
            event_sources: self.events.clone(),
        })
    }
}

impl RedactArgs {
    fn redaction(&self) -> anyhow::Result<Redaction> {
        let mut kept = self.keep.clone();
        kept.extend(self.managed_fields.then_some(Sensitive::ManagedFields));
        let redaction = Redaction::keeping(&kept);
        Ok(match &self.anonymize {
            Some(key_file) => redaction.anonymized(anonymizer(key_file)?),
            None => redaction,
        })
    }
}

impl FileArgs {
    async fn destination(&self, out: &str) -> anyhow::Result<(Files, Rotation, Afterwards)> {
        let rotation = Rotation { size: self.rotate_size, every: self.rotate_every };
        let retention = Retention { files: self.keep_files, bytes: self.keep_bytes };
        if Store::is_address(out) {
            ensure!(
                retention == Retention::default(),
                "--keep-files and --keep-bytes are for files on disk; set a lifecycle rule on the bucket"
            );
            return self.store(out, rotation).await;
        }
        ensure!(
            rotation.is_on() || retention == Retention::default(),
            "--keep-files and --keep-bytes need --rotate-every or --rotate-size"
        );
        ensure!(self.spool.is_none(), "--spool is for uploads; write --out s3://BUCKET/NAME, gs:// or az://");
        let path = PathBuf::from(out);
        let files = if rotation.is_on() { Files::Many(FileNames::beside(&path)) } else { Files::One(path) };
        Ok((files, rotation, Afterwards::Keep(retention)))
    }

    async fn store(&self, out: &str, rotation: Rotation) -> anyhow::Result<(Files, Rotation, Afterwards)> {
        let store = Store::open(out)?;
        if let Err(error) = store.probe().await {
            tracing::warn!("the store does not answer as it should, so files wait in the spool: {error}");
        }
        let spool = match &self.spool {
            Some(spool) => spool.clone(),
            // Two recordings to different stores must not find each other's files.
            None => Dirs::from_env()?.state.join("spool").join(out.replace(['/', ':'], "_")),
        };
        let files = Files::Many(FileNames::within(&spool, store.name()));
        let every = rotation.every.or((!rotation.is_on()).then_some(STORE_ROTATION));
        let afterwards = Afterwards::Upload { store: Arc::new(store), patience: self.last_uploads };
        Ok((files, Rotation { every, ..rotation }, afterwards))
    }
}

fn header(target: &Target, scheduler_version: &str, selection: &Selection) -> Header {
    let mut header = Header {
        writer: concat!("kubereel ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: std::env::args().collect(),
        cluster: ClusterInfo {
            server_version: target.version.clone(),
            scheduler_version: scheduler_version.to_owned(),
            context: target.context.clone(),
        },
        ..Header::default()
    };
    header.labels.extend(selection.describe().map(|said| ("selection".to_owned(), said)));
    header
}
