//! `policies.yaml`.

use std::path::Path;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::super::yaml::{self, ErrorMode, FieldHelp};
use super::super::{Failure, Outcome};
use crate::key::TenantId;
use crate::policy::set::{Action, EntityDefinition, Mitigation, NamedPolicy, NamedPolicySet, SetMode, Traffic};

const VERSION: u32 = 1;
const HELP: FieldHelp = &[("mode", "enforce, monitor or off"), ("onMissing", "skip or group")];

/// A file that declares a policy set.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    version: Spanned<u32>,
    tenant: Option<TenantId>,
    mode: Option<SetMode>,
    exempt: Option<String>,
    traffic: Option<Traffic>,
    #[serde(default)]
    actions: Vec<Action>,
    #[serde(default)]
    entities: Vec<EntityDefinition>,
    #[serde(default)]
    mitigations: Vec<Mitigation>,
    #[serde(default)]
    policies: Vec<NamedPolicy>,
}

/// Reads a file: whose set it is, if it says so, and the set.
///
/// # Errors
/// Usage, with the line, when it is no such file.
pub(super) fn read(path: &Path) -> Outcome<(Option<TenantId>, NamedPolicySet)> {
    let named = |failure: Failure| Failure::usage(format!("{}: {failure}", path.display()));
    let written: Written = yaml::parse(&yaml::text(path)?, ErrorMode::Explain(HELP)).map_err(named)?;
    if written.version.value != VERSION {
        let line = written.version.referenced.line();
        return Err(named(yaml::wrong(line, "version 1 is the only one that is understood")));
    }
    let Written { tenant, mode, exempt, traffic, actions, entities, mitigations, policies, .. } = written;
    Ok((tenant, NamedPolicySet { mode, exempt, traffic, actions, entities, mitigations, policies }))
}
