//! The cluster: how to reach it, which images its pods run, and the operator, which is installed once for all tests.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, ListParams};
use kube::{Client, Config};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::runtime::Runtime;

use crate::wait::Stopwatch;
use crate::{process, scrape, wait};

use super::kubectl::kubectl_with_input;

/// Where the operator is installed, and the name of its release.
pub const SYSTEM: &str = "bindproxy-system";
/// The name of the release and of the operator's Deployment.
pub const RELEASE: &str = "bindproxy-operator";
/// The pods of the operator.
pub const OPERATOR_PODS: &str = "app.kubernetes.io/name=bindproxy-operator";
/// The operator asks the pods of every BindProxy so often. Its default is a minute, which tests would only sit out.
pub const RESYNC_SECONDS: u32 = 10;
/// The port for health and metrics, of proxies and of the operator.
pub const ADMIN_PORT: u16 = 9390;

/// The state of a cluster that `make cluster-up` started.
const OWN: &str = "/run/bindproxy-e2e";

/// Tests of which each leaves the cluster as the others expect it hold it together; who takes something away from all
/// holds it alone.
static COMPANY: RwLock<()> = RwLock::new(());

/// While it is held, nobody takes the operator, the API server, a node or the network away.
#[must_use]
pub struct Shared(#[expect(dead_code, reason = "held")] (RwLockReadGuard<'static, ()>, File));

/// While it is held, no other test is running.
#[must_use]
pub struct Alone(#[expect(dead_code, reason = "held")] (RwLockWriteGuard<'static, ()>, File));

/// Waits until nobody is [`alone`]. One thread may hold it several times.
pub fn shared() -> Shared {
    let here = COMPANY.read_recursive();
    let everywhere = company();
    everywhere.lock_shared().expect("a lock on a file of our own");
    Shared((here, everywhere))
}

/// Waits until nobody else is there.
pub fn alone() -> Alone {
    let here = COMPANY.write();
    let everywhere = company();
    everywhere.lock().expect("a lock on a file of our own");
    Alone((here, everywhere))
}

/// The same among processes: somebody at a desk may run two of these suites against one cluster.
fn company() -> File {
    lock_file("bindproxy-e2e-company")
}

fn lock_file(name: &str) -> File {
    let path = std::env::temp_dir().join(name);
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A cluster that answers, with the operator in it.
pub struct Cluster {
    runtime: Runtime,
    client: Client,
    own: Option<PathBuf>,
    address: OnceLock<Ipv4Addr>,
}

/// The cluster of this run. The first call checks it and installs the operator; it panics with what is missing. Whoever
/// is [`alone`] has called it before, as `alone_with_namespace` does.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = Cluster::connect();
        // Nobody who is alone finds the installation changed back under him.
        let _company = shared();
        let watch = Stopwatch::start();
        cluster.install(&[]);
        watch.report("operator installed");
        cluster.check_routes();
        cluster
    })
}

/// An installation of the operator that one test needs otherwise.
#[must_use]
pub struct OtherInstallation(&'static Cluster);

impl Drop for OtherInstallation {
    fn drop(&mut self) {
        self.0.install(&[]);
    }
}

impl Cluster {
    fn connect() -> Self {
        let kubeconfig = kubeconfig().unwrap_or_else(|| {
            panic!("no cluster: set KUBECONFIG, or run `make cluster-up` (tests/cluster/README.md)")
        });
        // Of the library's own client only; what it installs last for the whole process is not needed by anybody else.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime for the client of the API server");
        let client = runtime.block_on(async {
            let file = kube::config::Kubeconfig::read_from(&kubeconfig)
                .unwrap_or_else(|error| panic!("{}: {error}", kubeconfig.display()));
            let config = Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
                .await
                .unwrap_or_else(|error| panic!("{}: {error}", kubeconfig.display()));
            Client::try_from(config).expect("a client for the API server")
        });
        let version = runtime
            .block_on(client.apiserver_version())
            .unwrap_or_else(|error| panic!("the API server of {} does not answer: {error}", kubeconfig.display()));
        println!("Kubernetes {} of {}", version.git_version, kubeconfig.display());
        Self { runtime, client, own: own(), address: OnceLock::new() }
    }

    /// Runs a question to the API server (or any future) to its end. Not from within one.
    pub fn ask<F: Future>(&self, question: F) -> F::Output {
        self.runtime.block_on(question)
    }

    /// The client, for objects that this harness has no words for.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The folder of a cluster that was started on this machine, whose components can be taken away and whose nodes have
    /// images of tests. `None`, and a line that says so, for any other: such a test ends there.
    pub fn own_or_skip(&self, test: &str) -> Option<&Path> {
        if self.own.is_none() {
            println!("{test} is left out: it needs the nodes or the components of a cluster that was started here");
        }
        self.own.as_deref()
    }

    /// How often a kubelet looks after its pods' files: as tests/cluster/kubelet.yaml has it, else the default.
    pub fn kubelet_sync(&self) -> Duration {
        Duration::from_secs(if self.own.is_some() { 10 } else { 60 })
    }

    /// The folder of a cluster that was started on this machine.
    pub(super) fn own(&self) -> Option<&Path> {
        self.own.as_deref()
    }

    /// The address of this machine as pods see it: `BINDPROXY_E2E_ADDRESS`, else where the route to a pod begins.
    pub fn host_address(&self) -> Ipv4Addr {
        *self.address.get_or_init(|| {
            if let Ok(address) = std::env::var("BINDPROXY_E2E_ADDRESS") {
                return address.parse().expect("BINDPROXY_E2E_ADDRESS is an IPv4 address");
            }
            let pod = self.operator_address();
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
            // Connecting a datagram socket sends nothing: the kernel only looks for the route.
            socket.connect(pod).unwrap_or_else(|error| panic!("there is no route to the pod {pod}: {error}"));
            match socket.local_addr().expect("the address of a connected socket").ip() {
                IpAddr::V4(address) => address,
                IpAddr::V6(address) => panic!("{address}: this suite is written for IPv4"),
            }
        })
    }

    /// The reference of an image of this project: `bindproxy` or `bindproxy-operator`.
    pub fn image(name: &str) -> String {
        format!("{}/{name}:{}", image_registry(), image_tag())
    }

    /// Gives the image of the proxy another tag on every node of a cluster of ours: the same program under a name of its
    /// own, so that a template with it is another one.
    pub fn tag_proxy_image(&self, tag: &str) {
        let own = self.own().expect("a cluster of ours: ask Cluster::own_or_skip first");
        let renamed = format!("{}/bindproxy:{tag}", image_registry());
        for entry in std::fs::read_dir(own).expect("read the folder of the cluster") {
            let socket = entry.expect("an entry of it").path().join("containerd.sock");
            if socket.exists() {
                process::run(
                    Command::new("ctr")
                        .arg("--address")
                        .arg(socket)
                        .args(["--namespace", "k8s.io", "images", "tag", "--force"])
                        .args([&Self::image("bindproxy"), &renamed]),
                );
            }
        }
    }

    /// Installs the operator, or changes the installation to these arguments (`--set operator.replicas=2`) and the
    /// defaults of this suite; waits until it is ready. Whoever changes it is [`alone`] and changes it back.
    pub fn install(&self, arguments: &[&str]) {
        let chart = repository().join("charts/bindproxy-operator");
        let mut all: Vec<String> = ["upgrade", "--install", RELEASE].iter().map(|&word| word.to_owned()).collect();
        all.push(chart.display().to_string());
        all.extend(["--namespace", SYSTEM, "--create-namespace", "--wait", "--timeout", "180s"].map(str::to_owned));
        // The suite of the API server, or a person, may have made the definition before; the release may be one of Helm 3,
        // which applied in its own way.
        all.extend(["--take-ownership", "--server-side=true", "--force-conflicts"].map(str::to_owned));
        all.extend(self.values());
        all.extend(arguments.iter().map(|&word| word.to_owned()));
        let words: Vec<&str> = all.iter().map(String::as_str).collect();
        // Helm refuses a second one at a time.
        let one_at_a_time = lock_file("bindproxy-e2e-install");
        one_at_a_time.lock().expect("a lock on a file of our own");
        let (done, output) = self.helm(&words);
        assert!(done, "helm does not install the operator:\n{output}\n{}", super::diagnosis::of_the_operator());
    }

    /// As [`Cluster::install`], until what it returns is dropped: then the installation is what every other test expects,
    /// also after a test that failed.
    pub fn install_for_now(&'static self, arguments: &[&str]) -> OtherInstallation {
        let other = OtherInstallation(self);
        self.install(arguments);
        other
    }

    /// Tells one build of the operator from another under the same name, where its archive is at hand.
    fn image_identity(&self) -> String {
        let folder = self.own.clone().unwrap_or_else(|| repository().join("target")).join("images");
        let Ok(octets) = std::fs::read(folder.join("bindproxy-operator.tar")) else { return "unknown".to_owned() };
        let mut hasher = DefaultHasher::new();
        hasher.write(&octets);
        format!("h{:016x}", hasher.finish())
    }

    /// The values of this suite, as arguments for Helm.
    pub fn values(&self) -> Vec<String> {
        let texts = [
            ("image.repository", format!("{}/bindproxy-operator", image_registry())),
            ("image.tag", image_tag()),
            ("proxyImage.repository", format!("{}/bindproxy", image_registry())),
            ("proxyImage.tag", image_tag()),
            // Another build under the same name is a reason for new pods.
            ("podAnnotations.image", self.image_identity()),
        ];
        let mut arguments = vec!["--set".to_owned(), format!("operator.resyncSeconds={RESYNC_SECONDS}")];
        for (name, value) in texts {
            arguments.extend(["--set-string".to_owned(), format!("{name}={value}")]);
        }
        arguments
    }

    /// Runs Helm; whether it exited with 0, and what it said.
    pub fn helm(&self, arguments: &[&str]) -> (bool, String) {
        Self::helm_of(program("HELM", "helm"), arguments)
    }

    /// As [`Cluster::helm`], with Helm 3.
    pub fn helm3(&self, arguments: &[&str]) -> (bool, String) {
        Self::helm_of(program("HELM3", "helm3"), arguments)
    }

    fn helm_of(program: PathBuf, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(program);
        if let Some(kubeconfig) = kubeconfig() {
            command.env("KUBECONFIG", kubeconfig);
        }
        let (status, output) = process::outcome(command.args(arguments));
        (status.success(), output)
    }

    /// The pods of the operator that are not about to end.
    pub fn operator_pods(&self) -> Vec<core::Pod> {
        let pods: Api<core::Pod> = Api::namespaced(self.client(), SYSTEM);
        let pods = self.ask(pods.list(&ListParams::default().labels(OPERATOR_PODS))).expect("list the operator's pods");
        pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
    }

    fn operator_address(&self) -> SocketAddr {
        let address = wait::until("an address of a pod of the operator", Duration::from_secs(60), || {
            self.operator_pods().iter().find_map(|pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse::<IpAddr>().ok())
        });
        SocketAddr::new(address, ADMIN_PORT)
    }

    /// The directories of these tests are on this machine, and so are the clients.
    fn check_routes(&self) {
        let pod = self.operator_address();
        assert!(
            scrape::get(pod, "/readyz").is_some(),
            "this machine does not reach the pod {pod}: the suite needs routes between this machine and pods and \
             Services, both ways (tests/cluster/README.md, \"With a cluster of your own\")"
        );
        if self.own.is_some() {
            return;
        }
        let host = self.host_address();
        let listener = TcpListener::bind((host, 0)).expect("listen for the pod that looks for this machine");
        listener.set_nonblocking(true).expect("a listener that does not wait");
        let port = listener.local_addr().expect("the listener's address").port();
        let manifest = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: route-check, namespace: {SYSTEM}}}, spec: {{restartPolicy: \
             Never, containers: [{{name: probe, image: '{}', imagePullPolicy: IfNotPresent, args: [probe, --ldap, \
             '{host}:{port}']}}]}}}}",
            Self::image("bindproxy")
        );
        let answer = kubectl_with_input(&["apply", "-f", "-"], &manifest);
        assert!(answer.done, "{}", answer.errors);
        let came = wait_for_connection(&listener, Duration::from_secs(60));
        let gone = kubectl_with_input(&["delete", "pod", "route-check", "--namespace", SYSTEM, "--wait=false"], "");
        assert!(gone.done, "{}", gone.errors);
        assert!(
            came,
            "no pod reaches this machine at {host}: set BINDPROXY_E2E_ADDRESS to an address that they reach \
             (tests/cluster/README.md, \"With a cluster of your own\")"
        );
    }
}

fn wait_for_connection(listener: &TcpListener, limit: Duration) -> bool {
    let watch = Stopwatch::start();
    while watch.elapsed() < limit {
        match listener.accept() {
            Ok(_) => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) => panic!("accept: {error}"),
        }
    }
    false
}

/// `KUBECONFIG`, else that of the cluster which was started here.
pub fn kubeconfig() -> Option<PathBuf> {
    let given = std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    given.or_else(|| Some(Path::new(OWN).join("kubeconfig")).filter(|path| path.exists()))
}

fn own() -> Option<PathBuf> {
    let folder = std::env::var_os("BINDPROXY_CLUSTER_DIR").map_or_else(|| PathBuf::from(OWN), PathBuf::from);
    (kubeconfig()? == folder.join("kubeconfig") && folder.join("complete").exists()).then_some(folder)
}

/// A program: what the environment variable names, else that of the cluster which was started here, else by name.
pub fn program(variable: &str, name: &str) -> PathBuf {
    if let Some(program) = std::env::var_os(variable).filter(|program| !program.is_empty()) {
        return program.into();
    }
    let own = Path::new(OWN).join("bin").join(name);
    if own.exists() { own } else { name.into() }
}

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

fn image_registry() -> String {
    std::env::var("IMAGE_REGISTRY").unwrap_or_else(|_| "localhost".to_owned())
}

fn image_tag() -> String {
    std::env::var("IMAGE_TAG").unwrap_or_else(|_| "dev".to_owned())
}
