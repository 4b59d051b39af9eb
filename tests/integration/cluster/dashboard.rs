//! The page of a cluster: what is pressed there is published, and the workers carry it out.

use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::Value;
use tests::process::{Cluster, DATE, check_night, mixed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_that_is_run_from_the_page_is_carried_out_by_the_workers() {
    let night = mixed(43, 100);
    let mut cluster = Cluster::of(&night).await;
    let _workers = cluster.workers(1);
    let mut page = cluster.dashboard("a-token");
    page.until_logged("serving the page").await;
    let log = page.stderr();
    let line = log.lines().find(|line| line.contains("serving the page")).expect("it was logged");
    let line: Value = serde_json::from_str(line).expect("a log off a terminal is JSON");
    let base = format!("http://{}", line["address"].as_str().expect("an address"));

    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let client = client.build().expect("a client");
    let post = |path: &str, cookie: &str, form: String| {
        client.post(format!("{base}{path}")).header(COOKIE, cookie).body(form).send()
    };
    let answer = post("/login", "", "name=Sari&token=a-token".into()).await.expect("an answer");
    let cookie = answer.headers()[SET_COOKIE].to_str().expect("text");
    let cookie = cookie.split(';').next().expect("a first part").to_owned();
    let read = async |path: &str| {
        let answer = client.get(format!("{base}{path}")).header(COOKIE, &cookie).send().await;
        answer.expect("an answer").text().await.expect("text")
    };
    let actions = read("/actions").await;
    let (_, csrf) = actions.split_once("name=\"csrf\" value=\"").expect("a form");
    let csrf = csrf.split('"').next().expect("a value");
    let answer =
        post("/actions/rerun", &cookie, format!("csrf={csrf}&date={DATE}")).await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 303);

    let closed = cluster.until_run_is("closed").await;
    check_night(&closed, night.expected());
    assert!(read("/acts").await.contains("Sari (unverified)"));
    assert!(read("/").await.contains(DATE));
}
