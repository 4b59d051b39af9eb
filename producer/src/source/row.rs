//! From the cells of one row to a [`SourceRow`].

use shared::domain::{Cell, SourceRow};

use super::header::{Columns, is_invisible};

impl Columns {
    /// The row's three cells and whether another column holds anything. `cells` come with their column,
    /// counted as in [`Columns`], in any order; what is missing is empty.
    pub fn row(&self, sheet_row: u32, cells: impl IntoIterator<Item = (usize, Cell)>) -> SourceRow {
        let mut row = SourceRow { sheet_row, ..SourceRow::default() };
        for (column, cell) in cells {
            if column == self.nik {
                row.nik = cell;
            } else if column == self.phone {
                row.phone = cell;
            } else if column == self.updated {
                row.updated = cell;
            } else {
                row.other_content |= !is_blank(&cell) && !is_unticked(&cell);
            }
        }
        row
    }
}

/// Whether the row does not count.
pub(super) fn is_blank_row(row: &SourceRow) -> bool {
    !row.other_content && [&row.nik, &row.phone, &row.updated].into_iter().all(is_blank)
}

fn is_blank(cell: &Cell) -> bool {
    match cell {
        Cell::Empty => true,
        Cell::Text(text) => text.chars().all(|c| c.is_whitespace() || is_invisible(c)),
        Cell::Number(_) | Cell::Boolean(_) | Cell::Error(_) | Cell::TooLong => false,
    }
}

/// A column of tick boxes fills every row down to the sheet's end with `FALSE`, used or not; a CSV has it as
/// text.
fn is_unticked(cell: &Cell) -> bool {
    match cell {
        Cell::Boolean(ticked) => !ticked,
        Cell::Text(text) => text.trim().eq_ignore_ascii_case("false"),
        Cell::Empty | Cell::Number(_) | Cell::Error(_) | Cell::TooLong => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns = Columns { nik: 1, phone: 3, updated: 0 };

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn takes_the_cells_of_its_columns() {
        let row = COLUMNS.row(7, [(0, Cell::Number(46349.0)), (1, text("n")), (3, text("p"))]);
        let expected = SourceRow {
            sheet_row: 7,
            nik: text("n"),
            phone: text("p"),
            updated: Cell::Number(46349.0),
            other_content: false,
        };
        assert_eq!(row, expected);
    }

    #[test]
    fn a_row_counts_when_any_column_holds_something() {
        for (cells, blank) in [
            (vec![], true),
            (vec![(1, text(" \u{200b}\u{a0}")), (2, text("\u{feff}"))], true),
            (vec![(2, Cell::Boolean(false)), (5, text("FALSE"))], true),
            (vec![(2, Cell::Boolean(true))], false),
            (vec![(1, Cell::Boolean(false))], false),
            (vec![(4, text("catatan"))], false),
            (vec![(3, Cell::Number(0.0))], false),
            (vec![(9, Cell::Error("#N/A".to_owned()))], false),
        ] {
            let row = COLUMNS.row(2, cells.clone());
            assert_eq!(is_blank_row(&row), blank, "{cells:?}");
        }
    }
}
