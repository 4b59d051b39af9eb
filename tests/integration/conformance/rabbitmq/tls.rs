//! `amqps`, with a CA that nobody but us trusts.

use shared::queue::{Channel, Queue};
use tests::conformance::queue::{message, test_config};
use tests::services::{Broker, Vhost};

use super::*;

#[tokio::test]
async fn a_private_ca_and_a_client_certificate_are_used() {
    let vhost = Vhost::new().await;
    let own;
    let broker = match vhost.broker() {
        Some(broker) => broker,
        None => {
            own = Broker::start().await;
            own.management().make_vhost(vhost.name());
            &own
        }
    };
    // Where it was installed before, that one is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificates = broker.certificates();
    let identity = (certificates.client.0.clone().into_bytes(), certificates.client.1.clone().into_bytes());
    for (roots, identity, works) in [
        (Some(certificates.root.clone()), Some(identity.clone()), true),
        (None, Some(identity), false),
        (Some(certificates.root.clone()), None, false),
    ] {
        let mut config = test_config(&broker.tls_url(vhost.name()));
        config.tls.roots = roots;
        config.tls.identity = identity;
        let queue = queue_with(config);
        let published = timeout(PATIENCE, queue.publish(vec![message(1)])).await.expect("an answer");
        assert_eq!(published.is_ok(), works, "{published:?}");
        if works {
            let mut work = subscribe(&queue, Channel::Work).await;
            assert_eq!(next(&mut work).await.message, message(1));
        }
    }
}
