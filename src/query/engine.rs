//! Plans and runs queries on threads of their own, so that no SQL ever keeps an HTTP worker busy.
//!
//! These threads have a lower priority than the other threads of the process. Queries read the store over connections
//! of their own, which a further thread serves: no connection of ingest or sync waits until a query has computed, and
//! no answer of the store times out meanwhile.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::common::{DataFusionError, ResolvedTableReference, TableReference};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder, SessionStateDefaults};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use datafusion::prelude::{SQLOptions, SessionConfig};
use datafusion::sql::parser::Statement;
use futures::{FutureExt, StreamExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::columns::Widened;
use super::constants::ForgetConstants;
use super::encode::Encoder;
use super::interrupt::Interrupt;
use super::json::Arrows;
use super::memory::SharedMemory;
use super::reads::{ReadLimits, Reads};
use super::request::{QueryRequest, Scope};
use super::rows::{Format, Part, Rows, Stop};
use super::statement::ReadStatement;
use super::tables::{self, Tables};
use super::using::MergeColumns;
use super::{
    explain, expression_size, failure, functions, grouping_sets, intervals, kept, rules, statement, subqueries,
};
use crate::error::{Error, ErrorKind, Result};
use crate::key::credential::may_hold_secret;
use crate::store::Bucket;
use crate::stream::StreamCatalog;

/// How far query threads stand back: threads that do not get three times as much of a processor that both want.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;
/// Debug builds read short texts and plan 128 levels in less than this; it is address space until it is used.
const THREAD_STACK_BYTES: usize = 32 * 1024 * 1024;
/// How often a query is planned anew because another node has widened a stream that it reads. A field widens once.
const MAX_PLANS: usize = 8;
/// How many encoded batches may wait for a slow reader.
const PARTS_AHEAD: usize = 2;

/// What queries may use.
#[derive(Debug, Clone)]
pub struct QuerySettings {
    /// Memory for the state of all running queries together, in bytes. Nothing is spilled to disk. No tenant gets more
    /// than three quarters of it. While queries leave it free, a quarter of it keeps columns that were read before.
    pub memory_bytes: usize,
    /// Threads that plan and run queries.
    pub threads: usize,
    /// How deep a statement may be nested; chains of operators, joins and unions count.
    pub max_levels: usize,
    /// Rows per batch.
    pub batch_rows: usize,
    /// Memory for the footers of Parquet files, in bytes.
    pub footer_cache_bytes: usize,
    /// How many objects one query may open; 0 is no limit.
    pub max_objects: usize,
    /// How many bytes these objects may have together; 0 is no limit.
    pub max_bytes: u64,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            memory_bytes: 512 * 1024 * 1024,
            threads: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            max_levels: 128,
            batch_rows: 4096,
            footer_cache_bytes: 32 * 1024 * 1024,
            max_objects: 10_000,
            max_bytes: 64 << 30,
        }
    }
}

/// The query engine. It can be dropped anywhere; what is still running then is stopped.
#[derive(Debug)]
pub struct Engine {
    pub(super) shared: Arc<EngineState>,
    pub(super) threads: Threads,
}

#[derive(Debug)]
pub(super) struct Threads {
    pub(super) compute: Option<Runtime>,
    /// Serves the connections to the store.
    connections: Option<Runtime>,
}

impl Threads {
    fn start(count: usize) -> io::Result<Self> {
        let compute = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name("query")
            .thread_stack_size(THREAD_STACK_BYTES)
            .on_thread_start(stand_back())
            .enable_all()
            .build()?;
        let connections =
            Builder::new_multi_thread().worker_threads(1).thread_name("query-store").enable_all().build()?;
        Ok(Self { compute: Some(compute), connections: Some(connections) })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Waiting for the threads, as a plain drop does, would panic inside an async context.
        for runtime in [self.compute.take(), self.connections.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

/// Makes threads stand back behind the one that calls this. Best effort: queries are answered without it too.
fn stand_back() -> impl Fn() + Send + Sync + 'static {
    // On other systems the priority belongs to the process. It is set, not lowered by a step as `nice` does: threads
    // that start each other would add the steps up.
    #[cfg(target_os = "linux")]
    let niceness = rustix::process::getpriority_process(None).unwrap_or(0) + NICENESS;
    move || {
        #[cfg(target_os = "linux")]
        let _ = rustix::process::setpriority_process(None, niceness);
    }
}

#[derive(Debug)]
pub(super) struct EngineState {
    pub(super) bucket: Bucket,
    pub(super) streams: Arc<StreamCatalog>,
    pub(super) settings: QuerySettings,
    pub(super) environment: Arc<RuntimeEnv>,
    pub(super) memory: SharedMemory,
}

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when they cannot be started.
    pub fn new(bucket: Bucket, catalog: Arc<StreamCatalog>, settings: QuerySettings) -> Result<Self> {
        let threads = Threads::start(settings.threads.max(1))
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot start the query threads").caused_by(error))?;
        let bucket = match &threads.connections {
            Some(connections) => bucket.with_own_connections(connections.handle())?,
            None => bucket,
        };
        let environment = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
            .with_metadata_cache_limit(settings.footer_cache_bytes)
            .build_arc()
            .map_err(failure::of)?;
        let url = ObjectStoreUrl::parse(tables::BUCKET_URL).map_err(failure::of)?;
        environment.register_object_store(url.as_ref(), bucket.object_store());
        let memory = SharedMemory::new(settings.memory_bytes);
        if let Some(connections) = &threads.connections {
            connections.spawn(kept::sweep(Arc::downgrade(memory.columns())));
        }
        let shared = EngineState { bucket, streams: catalog, settings, environment, memory };
        Ok(Self { shared: Arc::new(shared), threads })
    }

    /// Runs one query. Returns once the first rows, the end or an error are there. Dropping the future or the rows
    /// stops the work.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the SQL is wrong or not allowed, [`ErrorKind::Exhausted`] when it needs more memory
    /// than is left, [`ErrorKind::QueryTooLarge`] when it would open too many objects or too large ones,
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when an object or a manifest
    /// cannot be read. What depends on the text of a query or on data is never [`ErrorKind::Internal`].
    pub async fn run(&self, scope: Scope, request: QueryRequest, format: Format) -> Result<Rows> {
        let Some(compute) = &self.threads.compute else { return Err(failure::stopped()) };
        let (sender, parts) = mpsc::channel(PARTS_AHEAD);
        let interrupt = Interrupt::default();
        let query = RunningQuery { shared: self.shared.clone(), scope, request, format, interrupt: interrupt.clone() };
        let task = compute.spawn(async move {
            let last = match AssertUnwindSafe(query.send(&sender)).catch_unwind().await {
                Ok(done) => done.map(|()| Part::End),
                Err(_) => Err(failure::panicked()),
            };
            // Fails when the reader is gone.
            let _ = sender.send(last).await;
        });
        Rows::start(format, parts, Stop::new(interrupt, task.abort_handle())).await
    }

    /// How many tasks are alive on the query threads: 0 when no query runs.
    pub fn live_tasks(&self) -> usize {
        self.threads.compute.as_ref().map_or(0, |compute| compute.metrics().num_alive_tasks())
    }

    /// How many bytes of columns are kept.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.shared.memory.columns().bytes()
    }
}

struct RunningQuery {
    shared: Arc<EngineState>,
    scope: Scope,
    request: QueryRequest,
    format: Format,
    interrupt: Interrupt,
}

impl RunningQuery {
    async fn send(&self, sender: &mpsc::Sender<Result<Part>>) -> Result<()> {
        let mut batches = self.plan().await?;
        let mut encoder = Encoder::new(self.format, &batches.schema())?;
        while let Some(batch) = batches.next().await {
            let bytes = encoder.rows(&batch.map_err(failure::of)?)?;
            if !bytes.is_empty() && sender.send(Ok(Part::Bytes(bytes))).await.is_err() {
                return Ok(());
            }
        }
        let bytes = encoder.end()?;
        if !bytes.is_empty() {
            let _ = sender.send(Ok(Part::Bytes(bytes))).await;
        }
        Ok(())
    }

    async fn plan(&self) -> Result<SendableRecordBatchStream> {
        let read = statement::read(self.request.text(), self.shared.settings.max_levels)?;
        for _ in 0..MAX_PLANS {
            if let Some(rows) = self.plan_once(read.clone()).await? {
                return Ok(rows);
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "the fields of a stream are changing right now: send the query again"))
    }

    /// `None` when another node has widened a stream meanwhile: plan again.
    async fn plan_once(&self, read: ReadStatement) -> Result<Option<SendableRecordBatchStream>> {
        let ReadStatement { statement, is_explained } = read;
        let QuerySettings { max_objects, max_bytes, .. } = self.shared.settings;
        let tables = Arc::new(Tables {
            bucket: self.shared.bucket.clone(),
            streams: self.shared.streams.clone(),
            scope: self.scope.clone(),
            range: self.request.range(),
            reads: Arc::new(Reads::new(ReadLimits { max_objects, max_bytes })),
            columns: self.shared.memory.columns().clone(),
        });
        let merge = Arc::new(MergeColumns::default());
        let state = self.state(tables.clone(), merge.clone());
        check_names(&state, &tables, &statement)?;
        let planned = async {
            let plan = state.statement_to_plan(statement).await?;
            let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
            read_only.verify_plan(&plan)?;
            expression_size::check(&plan)?;
            intervals::check(&plan)?;
            let plan = subqueries::exact(plan)?;
            grouping_sets::check(&plan)?;
            self.interrupt.check()?;
            let plan = state.optimize(&plan).map_err(failure::lost_column)?;
            // Optimising cannot be interrupted; the rest need not begin when the client is gone.
            self.interrupt.check()?;
            let logical = plan;
            let plan = self.physical(&logical, &state, &tables.reads).await.map_err(failure::lost_column);
            self.interrupt.check()?;
            match plan {
                Ok(plan) if is_explained => explain::rows(&logical, Ok(plan.as_ref()), &tables.reads),
                Err(error) if is_explained => match failure::too_large(&error) {
                    Some(why) => explain::rows(&logical, Err(why), &tables.reads),
                    None => Err(error),
                },
                plan => execute_stream(plan?, state.task_ctx()),
            }
        };
        match planned.await {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if Widened::is(&error) => Ok(None),
            Err(error) => Err(merge.advise(&error).unwrap_or_else(|| failure::of(error))),
        }
    }

    /// Plans once more, with less knowledge, when a rule of DataFusion fails or finds the plan invalid: see
    /// [`super::constants`].
    async fn physical(
        &self,
        plan: &LogicalPlan,
        state: &SessionState,
        reads: &Reads,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        reads.restart();
        match state.query_planner().create_physical_plan(plan, state).await {
            Err(error) if rules::failed_in_physical(&error) => {
                let rules = rules::physical(&self.interrupt, ForgetConstants::Everywhere);
                let state = SessionStateBuilder::new_from_existing(state.clone());
                let state = state.with_physical_optimizer_rules(rules).build();
                reads.restart();
                state.query_planner().create_physical_plan(plan, &state).await
            }
            planned => planned,
        }
    }

    fn state(&self, tables: Arc<Tables>, merge: Arc<MergeColumns>) -> SessionState {
        let settings = &self.shared.settings;
        let mut environment = RuntimeEnv::clone(&self.shared.environment);
        environment.memory_pool = self.shared.memory.of(&self.scope.tenant);
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(tables::CATALOG, tables::SCHEMA)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(false)
            .with_batch_size(settings.batch_rows)
            .with_target_partitions(settings.threads.max(1));
        let options = config.options_mut();
        // Fields of events have mixed case.
        options.sql_parser.enable_ident_normalization = false;
        options.execution.enable_recursive_ctes = false;
        // The two planners of DataFusion 55 disagree whether `x IS TRUE` can be null, and would refuse to group by it
        // (apache/datafusion#24096; remove this with the release that has #24244).
        options.execution.skip_physical_aggregate_schema_check = true;
        // So that now() is an instant, as `p_timestamp` is.
        options.execution.time_zone = Some("UTC".to_owned());
        // An object is read by as many threads as there are. Millions of rows that repeat take few megabytes.
        options.optimizer.repartition_file_min_size = 1 << 20;
        // Objects of events have none. To look for them, DataFusion opens an object twice.
        options.execution.parquet.bloom_filter_on_read = false;
        // DataFusion 55 reserves memory for as many groups as LIMIT says, outside the pool. No issue is known.
        options.optimizer.enable_topk_aggregation = false;
        // What `min` and `max` of one column have found skips objects that those of another column need, where objects
        // lack a column (apache/datafusion#25147, open; remove this with the release that has #25149 and #24816).
        options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        let mut expr_planners = SessionStateDefaults::default_expr_planners();
        expr_planners.insert(0, Arc::new(Arrows));
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::new(environment))
            .with_catalog_list(tables.into_catalogs())
            .with_expr_planners(expr_planners)
            .with_scalar_functions(functions::scalar())
            .with_aggregate_functions(functions::aggregate())
            .with_window_functions(functions::window())
            .with_analyzer_rules(rules::analysis())
            .with_relation_planners(vec![merge])
            .with_optimizer_rules(rules::logical())
            .with_physical_optimizer_rules(rules::physical(&self.interrupt, ForgetConstants::WhereWrong))
            .build();
        state.mark_start_execution();
        state
    }
}

/// Refuses a name that is no permitted stream, in words that do not disclose whether there is such a stream.
fn check_names(state: &SessionState, tables: &Tables, statement: &Statement) -> Result<()> {
    for name in state.resolve_table_references(statement).map_err(failure::of)? {
        if !is_permitted(&name, tables)? {
            tables.check_readable(name.table())?;
            let name = name.to_string();
            if may_hold_secret(&name) {
                return Err(Error::invalid(failure::HOLDS_SECRET));
            }
            let name = &name[..name.floor_char_boundary(200)];
            return Err(Error::invalid(format!("there is no stream `{name}` that you may read")));
        }
    }
    Ok(())
}

fn is_permitted(name: &TableReference, tables: &Tables) -> Result<bool> {
    let ResolvedTableReference { catalog, schema, table } = name.clone().resolve(tables::CATALOG, tables::SCHEMA);
    let ours = &*catalog == tables::CATALOG && &*schema == tables::SCHEMA;
    Ok(ours && tables.find(&table).map_err(failure::of)?.is_some())
}
