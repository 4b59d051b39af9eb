//! The same night in every way we know to talk to a server: strict or not, open or behind OAuth2, by `PUT` or
//! by JSON Patch, one by one or many at once. Each must come to the same.

use tests::examples::{only_differs_in, people, telecom_changed};
use tests::process::{CLIENT, DATE, Sekmet, SekmetOptions, Site, check_report};

use super::{check_rows, everybody};

/// One night of everybody against such a server, written in such a way.
async fn night(options: SekmetOptions, settings: &[(&str, &str)]) {
    let sekmet = Sekmet::start(options).await;
    let mut there = Vec::new();
    for (person, patient) in people() {
        match sekmet.put(&patient).await {
            Ok(()) => there.push(person),
            Err(reason) => panic!("{options:?}: {} is refused: {reason}", person.file),
        }
    }
    let mut site = Site::with(simulators::SimulatorsConfig::default()).await;
    site.set("FHIR_URL", sekmet.base_url());
    if options.closed {
        let secret = site.file("client-secret", CLIENT.1);
        site.unset("FHIR_API_KEY");
        site.set("FHIR_AUTH", "oauth2");
        site.set("FHIR_TOKEN_URL", sekmet.token_url());
        site.set("FHIR_CLIENT_ID", CLIENT.0);
        site.set("FHIR_CLIENT_SECRET", format!("file:{}", secret.display()));
    }
    for (variable, value) in settings {
        site.set(variable, *value);
    }
    let lines = there.iter().map(|person| format!("{},{},{DATE}\n", person.nik(), person.spelled(0)));
    let unknown = format!("3174014501919999,0812-3456-7890,{DATE}\n");
    let rows = lines.chain([unknown]).collect::<String>();
    let export = site.file("export.csv", format!("nik,whatsapp_number,last_updated_date\n{rows}"));
    let before = everybody(&sekmet, &there).await;
    let flags = ["--file", Site::argument(&export), "--date", DATE, "--output", "json"];
    check_report(&site.run(&flags).await.expect(3).object());
    let listed = site.run(&["rows", DATE, "--output", "json"]).await.expect(0).objects();
    check_rows(&listed, &there, |person| (person.shape().outcome, person.shape().reason));
    let after = everybody(&sekmet, &there).await;
    for ((before, after), person) in before.iter().zip(&after).zip(&there) {
        let what = format!("{} ({}), {options:?}, {settings:?}", person.file, person.shape().name);
        match person.shape().outcome {
            "updated" => {
                only_differs_in(before, after, &["telecom", "meta"], &what);
                telecom_changed(before, after, &format!("+62{}", person.national(0)), &what);
            }
            _ => assert_eq!(before, after, "{what} was written"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_and_behind_oauth2_by_put() {
    night(SekmetOptions { strict: true, closed: true }, &[("FHIR_WRITE", "put")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_and_behind_oauth2_as_the_server_offers() {
    night(SekmetOptions { strict: true, closed: true }, &[("FHIR_WRITE", "auto")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_by_patch() {
    night(SekmetOptions::default(), &[("FHIR_WRITE", "patch")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_many_at_once_by_put() {
    night(SekmetOptions::default(), &[("FHIR_BATCH", "on")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_and_behind_oauth2_many_at_once_by_patch() {
    let settings = [("FHIR_BATCH", "auto"), ("FHIR_WRITE", "patch")];
    night(SekmetOptions { strict: true, closed: true }, &settings).await;
}
