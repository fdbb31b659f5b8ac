//! The keys of a tenant, listed: in one walk, or by ranges in parallel where that pays.

use futures::stream::{self, StreamExt, TryStreamExt};
use relative_path::{RelativePath, RelativePathBuf};

use crate::error::Result;
use crate::key::{KeyId, TenantId};
use crate::layout::{self, ObjectName};
use crate::store::{Bucket, Listed, PAGE, Tag};

/// Ids are uniform, so a first page that ends before this digit says that there are more than 5,000: as many ranges as
/// there are digits are worth a request each then. Below that, pages one after the other are cheaper.
const SPARSE: char = '3';
/// The first digits of ids.
const DIGITS: &str = "123456789abcdef";
/// How many ranges are walked at once.
const RANGES: usize = 16;

/// What stands in the folder of a tenant's keys.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The keys, and the state of each, in order of id.
    pub(super) keys: Vec<(KeyId, Option<Tag>)>,
    /// What is no key document by its name.
    pub(super) foreign: Vec<Listed>,
}

impl Listing {
    fn add(&mut self, folder: &RelativePath, page: Vec<Listed>) {
        for listed in page {
            match layout::key_in(folder, &listed.path) {
                Some(id) => self.keys.push((id, listed.tag)),
                None if listed.path.parent() == Some(folder) => self.foreign.push(listed),
                None => {} // Another folder in this one.
            }
        }
    }
}

/// Lists the keys of a tenant. A tenant of up to 1,000 keys takes one request.
///
/// # Errors
/// [`crate::ErrorKind::Unavailable`] when the store does not answer.
pub(super) async fn keys(bucket: &Bucket, tenant: &TenantId) -> Result<Listing> {
    let folder = layout::keys(tenant);
    let mut listing = Listing::default();
    let mut walk = bucket.walk(&folder);
    let (mut seen, mut last, mut sorted) = (0, RelativePathBuf::new(), !bucket.is_directory());
    while let Some(page) = walk.try_next().await? {
        let begins = seen < PAGE;
        if begins {
            let names = || page.iter().map(|listed| listed.path.as_str());
            sorted &= std::iter::once(last.as_str()).chain(names()).is_sorted();
            last = names().next_back().map_or(last.clone(), RelativePathBuf::from);
        }
        seen += page.len();
        listing.add(&folder, page);
        if begins && seen >= PAGE && sorted && last.as_str() < boundary(tenant, SPARSE).as_str() {
            by_ranges(bucket, tenant, &last, &mut listing).await?;
            break;
        }
    }
    listing.keys.sort_unstable_by_key(|(id, _)| *id);
    listing.keys.dedup_by_key(|(id, _)| *id);
    Ok(listing)
}

/// Lists what comes after `first`.
async fn by_ranges(bucket: &Bucket, tenant: &TenantId, first: &RelativePath, listing: &mut Listing) -> Result<()> {
    let folder = layout::keys(tenant);
    let boundaries = DIGITS.chars().map(|digit| boundary(tenant, digit));
    let ahead = boundaries.filter(|boundary| boundary.as_str() > first.as_str());
    let starts: Vec<RelativePathBuf> = std::iter::once(first.to_owned()).chain(ahead).collect();
    let ends = starts.iter().skip(1).map(Some).chain([None]);
    let walks: Vec<_> =
        starts.iter().zip(ends).map(|(start, end)| bucket.walk_range(&folder, start, end.map(AsRef::as_ref))).collect();
    let mut found = stream::iter(walks).flatten_unordered(RANGES);
    while let Some(page) = found.try_next().await? {
        listing.add(&folder, page);
    }
    Ok(())
}

/// The name before all ids that begin with a digit, but for the one id that is all zeros behind it.
fn boundary(tenant: &TenantId, digit: char) -> RelativePathBuf {
    let id = KeyId::parse(&format!("{digit}0000000-0000-0000-0000-000000000000"));
    id.map_or_else(|_| layout::keys(tenant), |key_id| ObjectName::Key { tenant: tenant.clone(), key_id }.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn filled(tenant: &TenantId, count: usize) -> (Bucket, Vec<KeyId>) {
        let bucket = Bucket::in_memory();
        let mut ids: Vec<_> = (0..count).map(|_| KeyId::random()).collect();
        ids.extend(
            DIGITS.chars().map(|digit| KeyId::parse(&format!("{digit}0000000-0000-0000-0000-000000000000")).unwrap()),
        );
        for key_id in &ids {
            let _ =
                bucket.create(&ObjectName::Key { tenant: tenant.clone(), key_id: *key_id }, "{}".into()).await.unwrap();
        }
        ids.sort_unstable();
        (bucket, ids)
    }

    #[tokio::test]
    async fn ranges_list_every_key_once_and_what_is_no_key_too() {
        for tenant in ["default", "acme"].map(|id| TenantId::parse(id).unwrap()) {
            for count in [0, 10, 990, 5_000, 20_000] {
                let (bucket, ids) = filled(&tenant, count).await;
                let store = bucket.object_store();
                for name in ["01J.json", "zebra.json", "7.txt"] {
                    let path = layout::keys(&tenant).join(name);
                    let path = crate::store::types::object_path(&path).unwrap();
                    object_store::ObjectStoreExt::put(&*store, &path, "x".into()).await.unwrap();
                }
                let listing = keys(&bucket, &tenant).await.unwrap();
                assert_eq!(listing.keys.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids, "{count}");
                assert_eq!(listing.foreign.len(), 3);
                assert!(listing.keys.iter().all(|(_, tag)| tag.is_some()));
            }
        }
    }
}
