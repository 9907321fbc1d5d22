//! The page's short tables: how far each role is, what was refused, what detectors asked for.

use maud::{Markup, html};
use weir_view::{Picture, show};

use crate::http::watch::View;

/// Rows of a table.
const LETTERS_SHOWN: usize = 10;
const TRIGGERS_SHOWN: usize = 10;

pub(super) fn stages(view: &View) -> Markup {
    html! {
        section aria-labelledby="stages" {
            h2 #stages { "Stages" }
            @if view.stages.is_empty() {
                p.quiet { "Not measured yet." }
            } @else {
                table {
                    thead { tr {
                        th scope="col" { "Role" } th scope="col" { "Reads" }
                        th.n scope="col" { "To do" } th.n scope="col" { "Written / s" }
                    } }
                    tbody {
                        @for stage in &view.stages {
                            tr {
                                td { (stage.role) }
                                td { code { (show::text(&stage.topic, 40)) } }
                                td.n { (stage.lag.map_or("not begun".to_owned(), |lag| show::count(lag.unsigned_abs()))) }
                                td.n { (stage.rate.map_or("-".to_owned(), |rate| format!("{rate:.1}"))) }
                            }
                        }
                    }
                }
                p.quiet { "To do: records that the role has not committed. The join holds those back that wait for a partner." }
            }
        }
    }
}

pub(super) fn letters(view: &View) -> Markup {
    let counts: Vec<_> = view.picture.letter_counts().collect();
    html! {
        section aria-labelledby="letters" {
            h2 #letters { "Refused" }
            @if counts.is_empty() {
                p.quiet { "Nothing among the newest records." }
            } @else {
                table {
                    thead { tr { th scope="col" { "Reason" } th scope="col" { "Topic" } th.n scope="col" { "Records" } } }
                    tbody {
                        @for (topic, reason, n) in &counts {
                            tr { td { (reason) } td { code { (show::text(topic, 50)) } } td.n { (show::count(*n)) } }
                        }
                    }
                }
                details {
                    summary { "The newest" }
                    ol.letters {
                        @for letter in view.picture.letters().take(LETTERS_SHOWN) {
                            li {
                                (show::instant(letter.at)) " " b { (letter.reason) } ": " (show::text(&letter.detail, 200))
                                br; code { (show::text(&show::payload(&letter.preview), 160)) }
                            }
                        }
                    }
                    p.quiet { "More: " code { "weir dead-letters list" } }
                }
            }
        }
    }
}

pub(super) fn triggers(picture: &Picture) -> Markup {
    let shown: Vec<_> = picture.triggers().take(TRIGGERS_SHOWN).collect();
    html! {
        section aria-labelledby="triggers" {
            h2 #triggers { "Asked for retraining" }
            @if shown.is_empty() {
                p.quiet { "No detector has." }
            } @else {
                div.scroll tabindex="0" role="region" aria-labelledby="triggers" {
                    table {
                        thead { tr {
                            th scope="col" { "Window" } th scope="col" { "Detector" } th.n scope="col" { "Mean error" }
                            th.n scope="col" { "Rows" } th scope="col" { "Levels" }
                        } }
                        tbody {
                            @for trigger in shown {
                                tr {
                                    td { (show::instant(trigger.start)) }
                                    td { (show::text(&trigger.detector, 40)) }
                                    td.n { (trigger.mean_error.map_or("-".to_owned(), |error| format!("{error:.3}"))) }
                                    td.n { (trigger.rows) }
                                    td { (trigger.levels.iter().take(8).map(|level| show::text(level, 24)).collect::<Vec<_>>().join(", ")) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
