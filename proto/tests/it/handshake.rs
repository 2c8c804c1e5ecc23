//! From the start of the process to its end.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use expect_test::expect;

use crate::generated::{health, plugin};
use crate::plugin::{
    COOKIE, CoreIdentity, PATIENCE, Plugin, Process, connect, connect_plain, example, pb, told,
};

#[tokio::test]
async fn core_is_served_over_mutual_tls_and_can_end_it() {
    let mut plugin = Plugin::start("notebook", &[]).await;
    let fields = plugin.process.fields();
    assert_eq!((fields.len(), &fields[..3], fields[4]), (6, &["1", "6", "unix"][..], "grpc"));

    let socket = plugin.process.socket();
    let dir = socket.parent().expect("a directory").to_path_buf();
    let mode = dir.metadata().expect("a directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "nobody else can enter");

    assert!(plugin.schemas().await.resource_schemas.contains_key("notebook_note"));
    plugin.shutdown().await;
    assert!(plugin.process.ended().await.success());
    assert!(!dir.exists(), "nothing is left behind");
    assert_eq!(plugin.process.stderr(), "", "nothing is written unless TF_LOG asks");
}

#[tokio::test]
async fn core_may_name_the_directory_and_is_told_that_nothing_is_multiplexed() {
    let core = CoreIdentity::new();
    let dir = tempfile::tempdir().expect("a directory");
    let name = dir.path().to_str().expect("a plain path");
    let env = [("PLUGIN_UNIX_SOCKET_DIR", name), ("PLUGIN_MULTIPLEX_GRPC", "true")];
    let process = Process::start("notebook", Some(&core.pem), &env);
    assert!(process.socket().starts_with(dir.path()));
    assert_eq!(process.fields().get(6), Some(&"false"));
    connect(&process, &core).await.expect("a connection");
}

#[tokio::test]
async fn nobody_but_core_is_served() {
    let core = CoreIdentity::new();
    let process = Process::start("notebook", Some(&core.pem), &[]);
    let other = CoreIdentity::new();
    // TLS 1.3 refuses a client after the client thinks that it has connected.
    if let Ok(channel) = connect(&process, &other).await {
        let mut provider = pb::provider_client::ProviderClient::new(channel);
        assert!(provider.get_metadata(pb::get_metadata::Request {}).await.is_err(), "another's certificate");
    }
    if let Ok(channel) = connect_plain(process.socket()).await {
        let mut provider = pb::provider_client::ProviderClient::new(channel);
        assert!(provider.get_metadata(pb::get_metadata::Request {}).await.is_err(), "no certificate");
    }
    connect(&process, &core).await.expect("core is still served");
}

#[tokio::test]
async fn the_services_of_go_plugin_are_there() {
    let plugin = Plugin::start("notebook", &[]).await;
    let mut health = health::health_client::HealthClient::new(plugin.channel.clone());
    let request = health::HealthCheckRequest { service: "plugin".to_owned() };
    let answer = health.check(request.clone()).await.expect("an answer").into_inner();
    assert!(answer.status() == health::health_check_response::ServingStatus::Serving);
    let mut watched = health.watch(request).await.expect("a stream").into_inner();
    assert!(watched.message().await.expect("an answer").is_some());
    let other = health::HealthCheckRequest { service: "other".to_owned() };
    let refused = health.check(other).await.err().expect("no such service");
    assert_eq!(refused.code(), tonic::Code::NotFound);

    // Core holds these open for as long as it lives; they must not hold up the end.
    let mut stdio = plugin::grpc_stdio_client::GrpcStdioClient::new(plugin.channel.clone());
    let mut output = stdio.stream_stdio(plugin::Empty {}).await.expect("a stream").into_inner();
    let mut broker = plugin::grpc_broker_client::GrpcBrokerClient::new(plugin.channel.clone());
    let mut offers = broker.start_stream(tokio_stream::pending()).await.expect("a stream").into_inner();
    let mut plugin = plugin;
    plugin.shutdown().await;
    assert!(output.message().await.expect("an end").is_none());
    assert!(offers.message().await.expect("an end").is_none());
    assert!(plugin.process.ended().await.success());
}

#[tokio::test]
async fn a_signal_that_a_person_sends_to_all_does_not_end_it() {
    let mut plugin = Plugin::start("notebook", &[]).await;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(plugin.process.child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("a signal");
    // A call that is answered afterwards shows that the signal was ignored, and not just slow.
    assert!(plugin.schemas().await.diagnostics.is_empty());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
    assert!(plugin.process.ended().await.success());
    assert!(!plugin.process.socket().exists());
}

#[tokio::test]
async fn a_provider_does_not_outlive_a_core_that_is_killed() {
    use std::io::{BufRead as _, BufReader};
    // A shell in the place of core: killed, it can tell nobody.
    let mut core = Command::new("sh")
        .args(["-c", r#""$0" & wait"#])
        .arg(example("notebook"))
        .env("TF_PLUGIN_MAGIC_COOKIE", COOKIE)
        .env("PLUGIN_PROTOCOL_VERSIONS", "6")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let mut line = String::new();
    BufReader::new(core.stdout.take().expect("a pipe")).read_line(&mut line).expect("the line");
    let socket = std::path::PathBuf::from(line.split('|').nth(3).expect("a path"));
    assert!(socket.exists());
    core.kill().expect("a shell");
    core.wait().expect("a shell");
    let deadline = std::time::Instant::now() + PATIENCE;
    while socket.exists() {
        assert!(std::time::Instant::now() < deadline, "the provider is still there");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn stopping_a_provider_does_not_end_it() {
    let mut plugin = Plugin::start("notebook", &[]).await;
    let stopped = plugin.provider.stop_provider(pb::stop_provider::Request {}).await.expect("an answer");
    assert_eq!(stopped.into_inner().error, "");
    assert!(plugin.schemas().await.diagnostics.is_empty());
}

#[test]
fn a_person_is_told_what_it_is() {
    let started =
        Command::new(example("notebook")).env_remove("TF_PLUGIN_MAGIC_COOKIE").output().expect("it starts");
    assert_eq!(started.status.code(), Some(1));
    assert!(started.stdout.is_empty());
    expect![[r"
        This is a provider plugin for Terraform or OpenTofu, which start it themselves. To have one use it while it is being debugged, start it with --debug.
    "]]
    .assert_eq(&String::from_utf8(started.stderr).expect("text"));

    let too_old = Command::new(example("notebook"))
        .env("TF_PLUGIN_MAGIC_COOKIE", COOKIE)
        .env("PLUGIN_PROTOCOL_VERSIONS", "4,5")
        .output()
        .expect("it starts");
    assert_eq!(too_old.status.code(), Some(1));
    expect![[r"
        The version of Terraform or OpenTofu that started this provider does not speak plugin protocol 6.
    "]]
    .assert_eq(&String::from_utf8(too_old.stderr).expect("text"));
}

#[tokio::test]
async fn a_provider_that_is_debugged_says_how_to_reattach_to_it() {
    use std::io::{BufRead as _, BufReader};
    let mut child =
        Command::new(example("notebook")).arg("--debug").stdout(Stdio::piped()).spawn().expect("it starts");
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut lines = stdout.lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("TF_REATTACH_PROVIDERS")).expect("the line");
    let (_, config) = line.split_once("TF_REATTACH_PROVIDERS=").expect("an assignment");
    let config: serde_json::Value = serde_json::from_str(config.trim_matches('\'')).expect("JSON");
    let own = &config["registry.terraform.io/example/notebook"];
    assert_eq!(own["Protocol"], "grpc");
    assert_eq!(own["ProtocolVersion"], 6);
    assert_eq!(own["Pid"], child.id());
    assert_eq!(own["Addr"]["Network"], "unix");
    let socket = own["Addr"]["String"].as_str().expect("a path").to_owned();

    let channel = connect_plain(socket.clone().into()).await.expect("a connection without TLS");
    let mut provider = pb::provider_client::ProviderClient::new(channel);
    let metadata = provider.get_metadata(pb::get_metadata::Request {}).await.expect("an answer").into_inner();
    assert_eq!(told(&metadata.diagnostics), "");

    // Here it is a person who presses Ctrl-C, and who means it.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("a signal");
    assert!(child.wait().expect("a child").success());
    assert!(!std::path::Path::new(&socket).exists());
}

#[tokio::test]
async fn logs_are_lines_that_core_can_read() {
    let mut plugin = Plugin::start("faulty", &[("TF_LOG", "trace")]).await;
    plugin.configure("{}").await;
    plugin.shutdown().await;
    plugin.process.ended().await;
    let written = plugin.process.stderr();
    assert!(!written.is_empty());
    for line in written.lines() {
        let read: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(read["@message"].is_string() && read["@level"].is_string(), "{line}");
        let time = read["@timestamp"].as_str().expect("a text");
        assert_eq!((time.len(), &time[19..20], &time[26..]), (27, ".", "Z"), "{time}");
        assert_eq!(read["@module"], "tfplugin", "the libraries below are not heard");
    }
}
