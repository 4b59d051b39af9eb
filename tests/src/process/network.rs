//! What lies between one program of a cluster and the servers it talks to.

use super::child::Running;
use super::cluster::Cluster;
use crate::services::{Flow, Relay};

/// A relay before each server; see the module.
pub struct Network {
    /// Before the ledger.
    pub postgres: Relay,
    /// Before the queues.
    pub rabbitmq: Relay,
    /// Before the FHIR server.
    pub fhir: Relay,
    variables: [(&'static str, String); 3],
}

impl Network {
    /// To the servers of this cluster.
    pub async fn to(cluster: &Cluster) -> Self {
        let relay = async |variable| Relay::before(&cluster.setting(variable).expect("it is set")).await;
        let (postgres, database) = relay("DATABASE_URL").await;
        let (rabbitmq, broker) = relay("AMQP_URL").await;
        let (fhir, server) = relay("FHIR_URL").await;
        let variables = [("DATABASE_URL", database), ("AMQP_URL", broker), ("FHIR_URL", server)];
        Self { postgres, rabbitmq, fhir, variables }
    }

    /// Starts a program that reaches its servers through here.
    pub fn start(&self, cluster: &Cluster, program: &str, arguments: &[&str]) -> Running {
        let mut command = cluster.program(program, arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        cluster.spawn(command)
    }

    /// Leads the programs that are started from now on through here.
    pub fn lead(&self, cluster: &mut Cluster) {
        for (name, value) in &self.variables {
            cluster.set(name, value.clone());
        }
    }

    /// Nothing arrives from or at any of them.
    pub fn swallow(&self) {
        for relay in [&self.postgres, &self.rabbitmq, &self.fhir] {
            relay.flow(Flow::Swallowed);
        }
    }
}
