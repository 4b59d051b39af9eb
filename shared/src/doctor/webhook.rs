//! The webhook: whether its URL can be used. Nothing is posted, so whether it is answered shows with the first notice.

use std::sync::Arc;

use super::{Findings, Subject};
use crate::webhook::Webhook;

/// `ALERT_WEBHOOK_URL`.
pub async fn examine(subject: Arc<Subject>, findings: Findings) {
    const CHECK: &str = "webhook";
    if subject.holds_up(&findings, CHECK, &["ALERT_WEBHOOK_URL"]) {
        return;
    }
    match Webhook::prepare(&subject.settings).await {
        Ok(None) => {
            findings.skipped(CHECK, "ALERT_WEBHOOK_URL is not set: nobody is told of a night that fails")
        }
        Ok(Some(_)) => findings.ok(CHECK, "its URL can be used; nothing was posted to it"),
        Err(problem) => findings.bad_setting(CHECK, &problem),
    }
}
