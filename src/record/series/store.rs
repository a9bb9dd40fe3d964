use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use url::Url;

/// Larger files go up in parts of this size; S3 wants at least 5 MiB and at most 10,000 of them.
const PART: usize = 16 << 20;

/// Why a file is not in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address cannot be used.
    #[error("{url}: {what}; write s3://BUCKET/NAME, gs://BUCKET/NAME or az://CONTAINER/NAME")]
    Address {
        /// As given.
        url: String,
        /// What is wrong.
        what: String,
    },
    /// The store refuses, or does not answer.
    #[error("{url}: {source}")]
    Store {
        /// Where.
        url: String,
        /// What it said.
        source: object_store::Error,
    },
    /// The local file cannot be read.
    #[error("{path}: cannot read", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store has something else than what was sent.
    #[error("{url}: the store has {found} bytes of {sent}")]
    Differs {
        /// Where.
        url: String,
        /// Bytes in the store.
        found: u64,
        /// Bytes sent.
        sent: u64,
    },
}

/// A folder of a bucket on S3, Google Cloud Storage or Azure. Credentials and endpoints come from the environment, as
/// the tools of each vendor read it.
pub struct Store {
    client: Arc<dyn ObjectStore>,
    folder: Key,
    name: String,
    url: Url,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.url)
    }
}

impl Store {
    /// Whether a text is the address of a store, not a path.
    pub fn is_address(text: &str) -> bool {
        ["s3://", "gs://", "az://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// A store by its address, whose last part names the files.
    ///
    /// # Errors
    /// [`StoreError::Address`].
    pub fn open(address: &str) -> Result<Store, StoreError> {
        let bad = |what: String| StoreError::Address { url: address.to_owned(), what };
        let url = Url::parse(address).map_err(|e| bad(e.to_string()))?;
        let path = Key::from_url_path(url.path()).map_err(|e| bad(e.to_string()))?;
        let mut parts: Vec<_> = path.parts().collect();
        let name = parts.pop().ok_or_else(|| bad("has no name for the files".to_owned()))?;
        // Others may have installed one; all that counts is that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = client(&url).map_err(|e| bad(e.to_string()))?;
        Ok(Store { client, folder: parts.into_iter().collect(), name: name.as_ref().to_owned(), url })
    }

    /// What files are named after.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks for something that is not there, to see early whether address and credentials can be right.
    ///
    /// # Errors
    /// [`StoreError::Store`].
    pub async fn probe(&self) -> Result<(), StoreError> {
        let key = self.folder.clone().join(format!("{}-probe", self.name));
        match self.client.head(&key).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(StoreError::Store { url: self.url_of(&key), source }),
        }
    }

    /// Uploads a file and makes sure that the store has all of it. Says where it is then.
    pub(super) async fn upload(&self, path: &Path) -> Result<String, StoreError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let key = self.folder.clone().join(name.as_ref());
        let url = self.url_of(&key);
        let read = |source| StoreError::Read { path: path.to_owned(), source };
        let store = |source| StoreError::Store { url: url.clone(), source };
        let mut file = File::open(path).await.map_err(read)?;
        let mut sent = 0;
        let first = next_part(&mut file).await.map_err(read)?;
        if first.len() < PART {
            sent += first.len() as u64;
            self.client.put(&key, PutPayload::from(first)).await.map_err(store)?;
        } else {
            let mut upload = self.client.put_multipart(&key).await.map_err(store)?;
            let done = send_parts(&mut *upload, &mut file, first, &mut sent).await;
            if let Err(error) = done {
                // A store that is away keeps the parts until its own clean-up: there is nobody to tell.
                let _ = upload.abort().await;
                return Err(match error {
                    PartError::Read(source) => read(source),
                    PartError::Store(source) => store(source),
                });
            }
        }
        let found = self.client.head(&key).await.map_err(store)?.size;
        if found == sent { Ok(url) } else { Err(StoreError::Differs { url, found, sent }) }
    }

    fn url_of(&self, key: &Key) -> String {
        format!("{}://{}/{key}", self.url.scheme(), self.url.host_str().unwrap_or_default())
    }
}

fn client(url: &Url) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    // Longer waits are the uploader's, which counts and tells them.
    let retry =
        RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(20), ..RetryConfig::default() };
    Ok(match url.scheme() {
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(url.as_str());
            Arc::new(builder.with_retry(retry).build()?)
        }
        "az" => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(url.as_str());
            Arc::new(builder.with_retry(retry).build()?)
        }
        _ => {
            let builder = AmazonS3Builder::from_env().with_url(url.as_str()).with_retry(retry);
            // The server compares what arrives with what was sent.
            Arc::new(builder.with_checksum_algorithm(Checksum::SHA256).build()?)
        }
    })
}

enum PartError {
    Read(std::io::Error),
    Store(object_store::Error),
}

async fn send_parts(
    upload: &mut dyn MultipartUpload,
    file: &mut File,
    first: Vec<u8>,
    sent: &mut u64,
) -> Result<(), PartError> {
    let mut part = first;
    while !part.is_empty() {
        *sent += part.len() as u64;
        upload.put_part(PutPayload::from(part)).await.map_err(PartError::Store)?;
        part = next_part(file).await.map_err(PartError::Read)?;
    }
    upload.complete().await.map_err(PartError::Store)?;
    Ok(())
}

/// The next bytes of a file; fewer than a part only at its end.
async fn next_part(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut part = Vec::new();
    file.take(PART as u64).read_to_end(&mut part).await?;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    fn in_memory() -> Store {
        Store {
            client: Arc::new(InMemory::new()),
            folder: Key::from("clusters"),
            name: "prod".to_owned(),
            url: Url::parse("s3://bucket/clusters/prod").unwrap(),
        }
    }

    #[test]
    fn an_address_is_a_bucket_a_folder_and_a_name() {
        assert!(Store::is_address("s3://b/x") && !Store::is_address("s3/x") && !Store::is_address("/x"));
        for (address, words) in [("s3://bucket", "no name"), ("s3://bucket/", "no name")] {
            assert!(Store::open(address).unwrap_err().to_string().contains(words), "{address}");
        }
        let key = in_memory().folder.join("prod-1.reel");
        assert_eq!(in_memory().url_of(&key), "s3://bucket/clusters/prod-1.reel");
    }

    #[tokio::test]
    async fn small_and_large_files_arrive_whole() {
        let (store, dir) = (in_memory(), tempfile::tempdir().unwrap());
        store.probe().await.unwrap();
        for (name, len) in [("small", 10), ("exact", PART), ("large", 2 * PART + 1)] {
            let path = dir.path().join(name);
            std::fs::write(&path, vec![7; len]).unwrap();
            assert_eq!(store.upload(&path).await.unwrap(), format!("s3://bucket/clusters/{name}"));
            let got = store.client.head(&Key::from(format!("clusters/{name}"))).await.unwrap();
            assert_eq!(got.size, len as u64);
        }
        let missing = store.upload(&dir.path().join("missing")).await.unwrap_err();
        assert!(matches!(missing, StoreError::Read { .. }), "{missing}");
    }
}
