//! What the nights of one fault stand on: servers of all, or private ones where the fault harms more than its own night.

use crate::services::{Broker, Management, PostgresServer, Vhost, connect};
use uuid::Uuid;

/// What a fault must have for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: each night has a vhost and a schema.
    Shared,
    /// A broker.
    Broker,
    /// A Postgres that is started again when it dies.
    Postgres,
    /// A database for each night, in the server of all.
    Database,
}

/// See the module.
pub(super) struct Servers {
    needs: Needs,
    pub(super) broker: Option<Broker>,
    pub(super) postgres: Option<PostgresServer>,
}

/// A night's place in them.
pub(super) struct Places {
    /// `DATABASE_URL`.
    pub(super) database: String,
    /// The name of the schema or of the database.
    pub(super) name: String,
    /// `AMQP_URL`.
    pub(super) broker: String,
    pub(super) vhost: String,
    pub(super) management: Management,
    /// Removed when dropped.
    _vhost: Option<Vhost>,
}

impl Servers {
    pub(super) async fn start(needs: Needs) -> Self {
        let broker = if needs == Needs::Broker { Some(Broker::start().await) } else { None };
        let postgres = if needs == Needs::Postgres { Some(PostgresServer::restarting().await) } else { None };
        Self { needs, broker, postgres }
    }

    async fn server(&self) -> &PostgresServer {
        match &self.postgres {
            Some(own) => own,
            None => PostgresServer::get().await,
        }
    }

    pub(super) async fn places(&self) -> Places {
        let server = self.server().await;
        let (database, name) = if self.needs == Needs::Database {
            let name = format!("night_{}", Uuid::now_v7().simple());
            let made = server.client().await.batch_execute(&format!("CREATE DATABASE {name}")).await;
            made.expect("a database can be made");
            (server.database(&name), name)
        } else {
            let place = server.place().await;
            (place.uri, place.name)
        };
        match &self.broker {
            Some(own) => {
                let vhost = format!("night-{}", Uuid::new_v4().simple());
                own.management().make_vhost(&vhost);
                let (broker, management) = (own.url(&vhost), own.management());
                Places { database, name, broker, vhost, management, _vhost: None }
            }
            None => {
                let shared = Vhost::new().await;
                let (broker, vhost) = (shared.url().to_owned(), shared.name().to_owned());
                let management = shared.management().clone();
                Places { database, name, broker, vhost, management, _vhost: Some(shared) }
            }
        }
    }

    /// Takes away what a night left: hundreds of them would fill a disk.
    pub(super) async fn clear(&self, places: Places) {
        let server = self.server().await;
        let client = server.client().await;
        let what = if self.needs == Needs::Database {
            format!("DROP DATABASE {} WITH (FORCE)", places.name)
        } else {
            format!("DROP SCHEMA {} CASCADE", places.name)
        };
        client.batch_execute(&what).await.expect("what was made can be removed");
        if places._vhost.is_none() {
            let _ = places.management.remove_vhost(&places.vhost);
        }
    }

    /// A connection to the maintenance database of the server that holds the nights.
    pub(super) async fn maintenance(&self) -> tokio_postgres::Client {
        connect(&self.server().await.database("postgres")).await.expect("the server answers")
    }
}
