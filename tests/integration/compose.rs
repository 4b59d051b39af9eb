//! `docker-compose.yml` and what belongs to it, as far as it can be looked at without Docker. `make compose-demo` runs it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tests::process::in_repository;

fn read(path: &str) -> String {
    std::fs::read_to_string(in_repository(path)).expect("a file of the repository")
}

#[test]
fn nothing_is_listened_on_beyond_loopback() {
    let compose = read("docker-compose.yml");
    let ports: Vec<_> = compose.lines().filter(|line| line.trim_start().starts_with("ports:")).collect();
    assert!(ports.len() >= 4, "{ports:?}");
    for line in ports {
        assert!(line.contains(r#"ports: ["127.0.0.1:"#) && line.matches(", ").count() == 0, "{line}");
    }
    assert!(!compose.contains("network_mode") && !compose.contains("privileged"));
}

#[test]
fn every_secret_is_a_file_that_the_script_makes_and_never_changes() {
    let compose = read("docker-compose.yml");
    let wanted: BTreeSet<_> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("file: deploy/compose/secrets/"))
        .map(str::to_owned)
        .collect();
    assert!(wanted.len() > 5, "{wanted:?}");
    let place = tempfile::tempdir().expect("a folder");
    let script = place.path().join("scripts/compose-secrets");
    std::fs::create_dir(place.path().join("scripts")).expect("a folder");
    std::fs::copy(in_repository("scripts/compose-secrets"), &script).expect("a copy");
    let folder = place.path().join("deploy/compose/secrets");
    let made = || {
        assert!(Command::new(&script).status().expect("it runs").success());
        let content = |name: &String| {
            let file = folder.join(name);
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        };
        wanted.iter().map(content).collect::<Vec<_>>()
    };
    let first = made();
    assert_eq!(made(), first);
    assert_eq!(mode(&folder), 0o700, "others are kept out");
    for name in &wanted {
        assert_eq!(mode(&folder.join(name)), 0o644, "the user in the container reads {name}");
    }
    let ignored = read(".gitignore");
    assert!(ignored.lines().any(|line| line == "/deploy/compose/secrets"));
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn every_setting_of_ours_that_it_gives_is_one() {
    let compose = read("docker-compose.yml");
    let readme = read("README.md");
    let ours = compose.split("x-environment:").nth(1).expect("our settings");
    let settings = ours.lines().filter_map(|line| {
        let (name, _) = line.trim().split_once(": ")?;
        let is_setting = name.len() > 3 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let of_others = ["POSTGRES_", "PG", "RABBITMQ_", "GF_"];
        (is_setting && !of_others.iter().any(|prefix| name.starts_with(prefix))).then_some(name)
    });
    let settings: BTreeSet<_> = settings.collect();
    assert!(settings.len() > 12, "{settings:?}");
    for name in settings {
        assert!(readme.contains(&format!("| `{name}` |")), "{name} is no setting of the README");
    }
}

#[test]
fn every_image_of_ours_is_a_target_of_the_dockerfile() {
    let dockerfile = read("deploy/docker/Dockerfile");
    let compose = read("docker-compose.yml");
    let images: BTreeSet<_> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("image: nightly-sync/"))
        .filter_map(|image| image.split(':').next())
        .collect();
    assert_eq!(images, BTreeSet::from(["dashboard", "producer", "simulators", "worker"]));
    for image in images.iter().chain(&["standalone"]) {
        assert!(dockerfile.contains(&format!("FROM base AS {image}\n")), "{image}");
        assert!(dockerfile.contains(&format!(r#"ENTRYPOINT ["/usr/local/bin/{image}""#)), "{image}");
    }
    let user = dockerfile.lines().rfind(|line| line.starts_with("USER "));
    assert_eq!(user, Some("USER 65532:65532"), "nobody's root");
}
