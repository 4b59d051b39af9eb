//! The ledger on Postgres: whether it can be reached and written to, its tables, our rights to them, and its clock.

use std::sync::Arc;

use deadpool_postgres::Connect as _;
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;
use tokio_postgres::{Client, Error};

use super::sqlite::of_versions;
use super::{ANSWER, Findings, Subject};
use crate::clock::Clock;
use crate::cluster::database;
use crate::error_chain;
use crate::ledger::postgres::migrate::{Tables, simple, standing, tables, versions};

/// The oldest server that is known to do.
const OLDEST: u32 = 13;

/// How far the database's clock may be from ours: leases go by its own, tokens and run dates by this machine's.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

const GENERAL: &str = "SELECT current_setting('server_version_num'), \
                       pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', \
                       current_setting('synchronous_commit'), current_schema(), \
                       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)";

/// `database.…`.
pub async fn examine(subject: Arc<Subject>, clock: Clock, findings: Findings) {
    let address = match database(&subject.settings).await {
        Ok(address) => address,
        Err(problem) => return findings.bad_setting("DATABASE_URL", &problem),
    };
    let client = match timeout(ANSWER, address.connector.connect(&address.config)).await {
        Ok(Ok((client, _))) => client,
        Ok(Err(error)) => return refused(&error, &findings),
        Err(_) => {
            let problem = "no answer; check host and port in DATABASE_URL, and firewalls in between";
            return findings.wrong("database.reach", problem);
        }
    };
    findings.ok("database.reach", "it answers and lets us in");
    match timeout(ANSWER, questions(&client, &clock, &findings)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            findings.wrong("database.questions", format!("it refuses to tell: {}", error_chain(&error)))
        }
        Err(_) => findings
            .wrong("database.questions", "no answer to simple questions; look at its load and its locks"),
    }
}

/// The code of the answer, not its text, which comes in the server's language (Postgres, appendix A).
fn refused(error: &Error, findings: &Findings) {
    let said = error_chain(error);
    match error.code().map(|code| code.code()) {
        Some(code) if code.starts_with("28") => {
            findings.wrong("database.login", format!("user or password is refused; mend DATABASE_URL ({said})"));
        }
        Some("3D000") => {
            findings.wrong("database.name", format!("there is no such database; make it (createdb), or mend DATABASE_URL ({said})"));
        }
        Some("42501") => findings.wrong("database.login", format!("this user may not connect to the database; GRANT CONNECT ({said})")),
        Some("53300") => findings.wrong("database.reach", format!("it has no connection left; raise max_connections ({said})")),
        _ => findings.wrong(
            "database.reach",
            format!("it cannot be reached; check host, port and sslmode in DATABASE_URL, and that it runs ({said})"),
        ),
    }
}

async fn questions(client: &Client, clock: &Clock, findings: &Findings) -> Result<(), Error> {
    let general = simple(client, GENERAL).await?;
    let column = |index: usize| general.first().and_then(|row| row.get(index).cloned()).flatten();
    let is = |index: usize| column(index).as_deref() == Some("t");
    of_version(column(0).as_deref().unwrap_or_default(), findings);
    if is(1) {
        let problem =
            "it takes no writes: a standby, or read-only by default; name the primary in DATABASE_URL";
        findings.wrong("database.writable", problem);
    } else if column(2).as_deref() == Some("off") {
        let problem = "synchronous_commit is off, so that a crash loses what was recorded; ALTER ROLE … SET \
                       synchronous_commit = on";
        findings.wrong("database.writable", problem);
    } else {
        findings.ok("database.writable", "it takes writes, and keeps what it confirmed");
    }
    let Some(schema) = column(3) else {
        let problem = "no schema of its search_path is there; CREATE SCHEMA, or ALTER ROLE … SET search_path";
        findings.wrong("database.schema", problem);
        return Ok(());
    };
    of_tables(client, &schema, is(4), findings).await?;
    of_clock(client, clock, findings).await
}

fn of_version(number: &str, findings: &Findings) {
    let major = number.parse::<u32>().unwrap_or_default() / 10_000;
    if major < OLDEST {
        findings
            .wrong("database.version", format!("Postgres {major} is too old; {OLDEST} or newer is needed"));
    } else {
        findings.ok("database.version", format!("Postgres {major}"));
    }
}

async fn of_tables(client: &Client, schema: &str, creates: bool, findings: &Findings) -> Result<(), Error> {
    let there = simple(client, "SELECT to_regclass('refinery_schema_history')").await?;
    let mut noted = Vec::new();
    if there.first().and_then(|row| row.first().cloned()).flatten().is_some() {
        let asked = "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version";
        for row in simple(client, asked).await? {
            let mut columns = row.into_iter().map(Option::unwrap_or_default);
            let mut next = || columns.next().unwrap_or_default();
            noted.push((next(), next(), next()));
        }
    }
    let ours = versions();
    if noted.len() > ours.len() && standing(&ours, &noted) == Tables::Usable {
        let newest = noted.last().map_or("0", |(version, ..)| version);
        let well =
            format!("of version {newest}: a newer program's, which took nothing away that this one needs");
        findings.ok("database.tables", well);
    } else {
        of_versions(&ours, &noted, "the first process that starts brings them", findings);
    }
    if noted.len() < ours.len() && !creates {
        let problem = format!(
            "this user may not make tables in the schema {schema}; GRANT CREATE ON SCHEMA {schema}, for the first start at least"
        );
        findings.wrong("database.rights", problem);
        return Ok(());
    }
    let names = tables().iter().map(|name| format!("to_regclass('{name}')")).collect::<Vec<_>>().join(", ");
    let lacking = ["SELECT", "INSERT", "UPDATE", "DELETE"]
        .map(|right| format!("NOT has_table_privilege(oid, '{right}')"));
    let asked = format!(
        "SELECT relname FROM pg_class WHERE oid = ANY (ARRAY[{names}]::oid[]) AND ({}) ORDER BY relname",
        lacking.join(" OR ")
    );
    let forbidden: Vec<_> = simple(client, &asked).await?.into_iter().flatten().flatten().collect();
    if forbidden.is_empty() {
        findings.ok("database.rights", format!("all that is needed in the schema {schema}"));
    } else {
        let problem = format!(
            "this user may not read and write {}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema}",
            forbidden.join(", ")
        );
        findings.wrong("database.rights", problem);
    }
    Ok(())
}

async fn of_clock(client: &Client, clock: &Clock, findings: &Findings) -> Result<(), Error> {
    let before = clock.now();
    let asked = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let told = simple(client, asked).await?;
    let after = clock.now();
    let micros = told.first().and_then(|row| row.first().cloned()).flatten();
    let Some(theirs) = micros.and_then(|micros| micros.parse().ok()) else { return Ok(()) };
    let Ok(theirs) = Timestamp::from_microsecond(theirs) else { return Ok(()) };
    of_skew(before, theirs, after, findings);
    Ok(())
}

/// Theirs was read between `before` and `after`.
fn of_skew(before: Timestamp, theirs: Timestamp, after: Timestamp, findings: &Findings) {
    let skew = if theirs < before {
        before.duration_since(theirs)
    } else if theirs > after {
        theirs.duration_since(after)
    } else {
        SignedDuration::ZERO
    };
    if skew > SKEW {
        let problem = format!(
            "the database's clock is {} s from this machine's; set both (NTP): leases go by one, tokens by the other",
            skew.as_secs()
        );
        findings.wrong("database.clock", problem);
    } else {
        findings.ok("database.clock", "like this machine's");
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_found_and_a_slow_answer_is_not() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        for (theirs, after, verdict) in
            [(0, 0, Verdict::Ok), (6, 7, Verdict::Ok), (-90, 0, Verdict::Wrong), (90, 1, Verdict::Wrong)]
        {
            let findings = Findings::default();
            of_skew(at(0), at(theirs), at(after), &findings);
            let found = findings.take().remove(0);
            assert_eq!((found.check.as_str(), found.verdict), ("database.clock", verdict), "{found}");
        }
    }

    #[test]
    fn a_server_that_is_too_old_is_found() {
        for (number, verdict) in [("120022", Verdict::Wrong), ("150004", Verdict::Ok), ("", Verdict::Wrong)] {
            let findings = Findings::default();
            of_version(number, &findings);
            let found = findings.take().remove(0);
            assert_eq!((found.check.as_str(), found.verdict), ("database.version", verdict), "{found}");
        }
    }
}
