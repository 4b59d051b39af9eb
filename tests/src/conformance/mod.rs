//! What every adapter of the two ports must do, written once and run on each of them.
//!
//! Each suite has a table of its cases ([`ledger_cases!`](crate::ledger_cases),
//! [`queue_cases!`](crate::queue_cases), [`steward_cases!`](crate::steward_cases)). The table makes the cases
//! public, and the tests are made from it: a case that is not in it is dead code, which the compiler refuses,
//! and an adapter is added with one line ([`ledger_suite!`](crate::ledger_suite) and its sisters). What only
//! one adapter promises is tested beside that line, not here.

pub mod ledger;
pub mod queue;
pub mod steward;

/// Makes a table's cases public, each under the module that it stands in.
macro_rules! published {
    ($cases:ident $($module:ident { $($case:ident,)* })*) => {
        /// Cases of this suite, by what they are about. Each panics where the adapter fails it.
        pub mod $cases {
            $(
                #[doc = concat!("About ", stringify!($module), ".")]
                pub mod $module {
                    $(
                        #[doc = concat!("`", stringify!($case), "`.")]
                        pub async fn $case(stage: super::super::Stage) {
                            super::super::$module::$case(stage).await;
                        }
                    )*
                }
            )*
        }
    };
}

pub(crate) use published;

/// Makes one test of each case in a table: `(arguments of tokio::test) suite cases (adapter) table`.
#[doc(hidden)]
#[macro_export]
macro_rules! suite_tests {
    ($how:tt $suite:ident $cases:ident ($adapter:expr) $($module:ident { $($case:ident,)* })*) => {
        $(
            mod $module {
                use super::*;

                $(
                    #[tokio::test $how]
                    async fn $case() {
                        let stage = $crate::conformance::$suite::Stage::new($adapter);
                        Box::pin($crate::conformance::$suite::$cases::$module::$case(stage)).await;
                    }
                )*
            }
        )*
    };
}
