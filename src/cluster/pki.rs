//! Keys and certificates of one cluster: an authority of its own, and every endpoint and client signed by it, so that
//! no connection has to skip verification.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

use super::dirs::{Layout, private_dir, write_private};
use super::{ClusterError, Component};

/// Names under which pods and tools may address the API server; 10.96.0.1 is the first address of the service range.
const API_SERVER_NAMES: &[&str] = &[
    "127.0.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "10.96.0.1",
];
const LOOPBACK_NAMES: &[&str] = &["127.0.0.1", "localhost"];
/// The API server as a client of aggregated servers.
pub(super) const FRONT_PROXY: &str = "front-proxy-client";

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(cluster: &str) -> Result<Authority, ClusterError> {
        let subject = format!("kubereel-{cluster}-ca");
        let failed = |source| ClusterError::Certificate { subject: subject.clone(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject.as_str());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(failed)?;
        Ok(Authority { issuer: CertifiedIssuer::self_signed(params, key).map_err(failed)? })
    }

    /// A certificate for `subject`, to be a client with, and a server under `names` if there are any.
    fn issue(
        &self,
        subject: &str,
        organization: Option<&str>,
        names: &[&str],
    ) -> Result<Identity, ClusterError> {
        let failed = |source| ClusterError::Certificate { subject: subject.to_owned(), source };
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject);
        if let Some(organization) = organization {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        // etcd uses its serving certificate as a client of itself, so servers get both usages.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !params.subject_alt_names.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

struct Identity {
    certificate: String,
    key: String,
}

impl Identity {
    fn write(&self, layout: &Layout, name: &str) -> Result<(), ClusterError> {
        write_private(&layout.pki(&format!("{name}.crt")), self.certificate.as_bytes())?;
        write_private(&layout.pki(&format!("{name}.key")), self.key.as_bytes())
    }
}

/// Makes all keys and certificates of a cluster. The authority's key is not written: nothing is signed later.
pub(super) fn create(layout: &Layout, cluster: &str) -> Result<(), ClusterError> {
    private_dir(&layout.root.join("pki"))?;
    let authority = Authority::new(cluster)?;
    write_private(&layout.pki("ca.crt"), authority.issuer.pem().as_bytes())?;
    for (component, names) in [
        (Component::Etcd, LOOPBACK_NAMES),
        (Component::ApiServer, API_SERVER_NAMES),
        (Component::ControllerManager, LOOPBACK_NAMES),
        (Component::Scheduler, LOOPBACK_NAMES),
    ] {
        authority.issue(component.name(), None, names)?.write(layout, component.name())?;
    }
    authority.issue("kubernetes-admin", Some("system:masters"), &[])?.write(layout, "admin")?;
    authority.issue("system:kube-scheduler", None, &[])?.write(layout, "kube-scheduler-client")?;
    authority
        .issue("system:kube-controller-manager", None, &[])?
        .write(layout, "kube-controller-manager-client")?;
    // Who asks is passed on to aggregated servers, such as metrics-server, in the name of this one client.
    let front_proxy = Authority::new(&format!("{cluster}-front-proxy"))?;
    write_private(&layout.pki("front-proxy-ca.crt"), front_proxy.issuer.pem().as_bytes())?;
    front_proxy.issue(FRONT_PROXY, None, &[])?.write(layout, FRONT_PROXY)?;
    service_account_keys(layout)
}

fn service_account_keys(layout: &Layout) -> Result<(), ClusterError> {
    let failed = |source| ClusterError::Certificate { subject: "service accounts".to_owned(), source };
    let key = KeyPair::generate().map_err(failed)?;
    write_private(&layout.pki("sa.key"), key.serialize_pem().as_bytes())?;
    write_private(&layout.pki("sa.pub"), key.public_key_pem().as_bytes())
}

/// The kubeconfig of one client of the API server, certificates embedded. JSON is YAML, so every client reads it.
pub(super) fn write_kubeconfig(
    layout: &Layout,
    path: &Path,
    cluster: &str,
    server: &str,
    identity: &str,
) -> Result<(), ClusterError> {
    write_private(path, pretty(&kubeconfig(layout, cluster, server, identity)?).as_bytes())
}

/// A kubeconfig for any endpoint of the cluster.
pub(super) fn kubeconfig(
    layout: &Layout,
    cluster: &str,
    server: &str,
    identity: &str,
) -> Result<Value, ClusterError> {
    let context = format!("kubereel-{cluster}");
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": {
            "server": server,
            "certificate-authority-data": base64_of(&layout.pki("ca.crt"))?,
        }}],
        "users": [{"name": context, "user": {
            "client-certificate-data": base64_of(&layout.pki(&format!("{identity}.crt")))?,
            "client-key-data": base64_of(&layout.pki(&format!("{identity}.key")))?,
        }}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }))
}

/// Indented JSON with a newline at the end.
pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn base64_of(path: &Path) -> Result<String, ClusterError> {
    Ok(STANDARD.encode(std::fs::read(path).map_err(ClusterError::io("read", path))?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_and_kubeconfigs_are_for_the_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().join("c") };
        create(&layout, "c").unwrap();
        write_kubeconfig(&layout, &layout.kubeconfig(), "c", "https://127.0.0.1:1", "admin").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&layout.root), 0o700);
        assert_eq!(mode(&layout.kubeconfig()), 0o600);
        assert_eq!(mode(&layout.pki("sa.key")), 0o600);
        assert_eq!(mode(&layout.pki(&format!("{FRONT_PROXY}.key"))), 0o600);
        let parsed: Value = serde_json::from_slice(&std::fs::read(layout.kubeconfig()).unwrap()).unwrap();
        let admin = parsed["users"][0]["user"]["client-certificate-data"].as_str().unwrap();
        let pem = String::from_utf8(STANDARD.decode(admin).unwrap()).unwrap();
        assert_eq!(pem, std::fs::read_to_string(layout.pki("admin.crt")).unwrap());
    }
}
