//! The queue over RabbitMQ: whether it can be reached, its version, its queues and what we may do with them.

use std::sync::Arc;

use super::{ANSWER, Findings, Subject};
use crate::cluster::broker;
use crate::error_chain;
use crate::queue::rabbitmq::look::{Look, Queue, Right, version};
use crate::queue::rabbitmq::{RabbitMqConfig, RabbitMqError};

/// The oldest broker that is known to do.
const OLDEST: (u32, u32) = (3, 10);

/// `queue.…`.
pub async fn examine(subject: Arc<Subject>, findings: Findings) {
    if subject.holds_up(&findings, "queue", &["AMQP_CERT_FILE", "AMQP_KEY_FILE", "JOB_NAME"]) {
        return;
    }
    let config = match broker(&subject.settings).await {
        Ok(config) => config,
        Err(problem) => return findings.bad_setting("AMQP_URL", &problem),
    };
    if !of_version(&config, &findings).await {
        return;
    }
    let look = match Look::log_in(&config, ANSWER).await {
        Ok(look) => look,
        Err(fault) => return refused(&fault, &findings),
    };
    findings.ok("queue.login", "it lets us in");
    for prefix in [subject.settings.job.clone(), format!("{}.dry-run", subject.settings.job)] {
        if let Err(fault) = of_queues(&look, &prefix, &findings).await {
            let problem = if look.is_blocked() {
                "it takes no messages: an alarm for memory or disk; make room on its machine".to_owned()
            } else {
                format!("it does not tell of {prefix}: {}; look at its log", error_chain(&fault))
            };
            findings.wrong("queue.questions", problem);
            break;
        }
    }
    look.close().await;
}

/// False: there is nobody to go on with.
async fn of_version(config: &RabbitMqConfig, findings: &Findings) -> bool {
    match version(config, ANSWER).await {
        Ok(Some(version)) => {
            findings.ok("queue.reach", "it answers");
            of_number(&version, findings);
            true
        }
        Ok(None) => {
            let problem =
                "who answers is no RabbitMQ; check host and port in AMQP_URL (5672, or 5671 for amqps)";
            findings.wrong("queue.reach", problem);
            false
        }
        Err(error) => {
            let problem = format!(
                "it cannot be reached; check host and port in AMQP_URL, CA_FILE on amqps, and that it runs ({error})"
            );
            findings.wrong("queue.reach", problem);
            false
        }
    }
}

fn of_number(version: &str, findings: &Findings) {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let known = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if known < OLDEST {
        let problem = format!("RabbitMQ {version} is too old; {}.{} or newer is needed", OLDEST.0, OLDEST.1);
        findings.wrong("queue.version", problem);
    } else {
        findings.ok("queue.version", format!("RabbitMQ {version}"));
    }
}

fn refused(fault: &RabbitMqError, findings: &Findings) {
    let said = error_chain(fault);
    if said.contains("ACCESS_REFUSED") || said.contains("ACCESS-REFUSED") {
        findings.wrong("queue.login", format!("user or password is refused; mend AMQP_URL ({said})"));
    } else if said.contains("NOT_ALLOWED") || said.contains("NOT-ALLOWED") {
        let problem =
            "the vhost is not there, or not for this user; make it and set permissions, or mend AMQP_URL";
        findings.wrong("queue.vhost", format!("{problem} ({said})"));
    } else {
        findings.wrong("queue.login", format!("it does not let us in; check AMQP_URL ({said})"));
    }
}

async fn of_queues(look: &Look, prefix: &str, findings: &Findings) -> Result<(), RabbitMqError> {
    let denied = look.denied(prefix).await?;
    if !denied.is_empty() {
        let names: Vec<_> = denied.iter().map(|right| name(*right)).collect();
        let problem = format!(
            "this user may not {} on {prefix}.…; rabbitmqctl set_permissions needs '.*' for configure, write and \
             read, or a pattern that has {prefix} and amq.default",
            names.join(", ")
        );
        findings.wrong("queue.permissions", problem);
        return Ok(());
    }
    findings.ok("queue.permissions", format!("all that is needed for {prefix}.…"));
    let queues = look.queues(prefix).await?;
    let those = |what| queues.iter().filter(move |(_, queue)| *queue == what).map(|(name, _)| name.as_str());
    let others: Vec<_> = those(Queue::Other).collect();
    let absent = those(Queue::Absent).count();
    if !others.is_empty() {
        let problem = format!(
            "{}: made with other arguments than ours; delete them, the next start makes them anew and nothing is lost",
            others.join(", ")
        );
        findings.wrong("queue.arguments", problem);
    } else if absent > 0 {
        let text = format!(
            "{absent} of the {} queues {prefix}.… are not there yet; the first start makes them",
            queues.len()
        );
        findings.ok("queue.arguments", text);
    } else {
        findings.ok("queue.arguments", format!("the {} queues {prefix}.… are as we make them", queues.len()));
    }
    Ok(())
}

fn name(right: Right) -> &'static str {
    match right {
        Right::Configure => "configure",
        Right::Write => "write",
        Right::Read => "read",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_broker_that_is_too_old_is_found() {
        for (version, verdict) in [
            ("3.8.9", Verdict::Wrong),
            ("3.10.8", Verdict::Ok),
            ("4.0.1", Verdict::Ok),
            ("?", Verdict::Wrong),
        ] {
            let findings = Findings::default();
            of_number(version, &findings);
            let found = findings.take().remove(0);
            assert_eq!((found.check.as_str(), found.verdict), ("queue.version", verdict), "{found}");
        }
    }
}
