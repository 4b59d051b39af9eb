//! What every adapter of the two ports must do, written once and run on each of them.
//!
//! Each suite has one table of its cases ([`ledger_cases!`](crate::ledger_cases),
//! [`queue_cases!`](crate::queue_cases), [`steward_cases!`](crate::steward_cases)). A table makes the cases
//! public and is what the tests are made from, so a case that is not in it is dead code, which the compiler
//! refuses, and an adapter is added with one line ([`ledger_suite!`](crate::ledger_suite) and its sisters).
//! What only one adapter promises is tested beside that line, not here.

pub mod ledger;
pub mod queue;
pub mod steward;

/// Makes a table's cases public, each under the module that it stands in.
macro_rules! published {
    ($($module:ident { $($case:ident,)* })*) => {
        /// The cases of this suite, by what they are about.
        pub mod cases {
            $(
                #[doc = concat!("Cases about `", stringify!($module), "`.")]
                pub mod $module {
                    $(
                        #[doc = concat!("`", stringify!($case), "`; panics where the adapter fails it.")]
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
