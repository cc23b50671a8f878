//! What a command prints for people: lines and grids that fit the terminal, with styles by meaning.
//!
//! A [`Cell`] makes foreign text harmless as it is added, because styles are escape sequences and do not pass
//! [`crate::report::out`].

use std::io::{self, Write as _};

use crate::base::env::Env;
use crate::report::cell::Cell;
use crate::report::columns::{Paper, Span, Tone, cut, is_to_copy, width, wrap};

/// Columns between two cells.
const GAP: usize = 2;
/// Columns that a cell keeps while another column can be left out instead.
const COMFORT: usize = 24;
/// Columns that a cell keeps in any case, as far as there are any.
const LEAST: usize = 6;

/// Text for people on standard output, gathered and then shown.
pub(crate) struct Screen {
    paper: Paper,
    text: String,
}

impl Screen {
    /// Makes an empty one for standard output.
    pub(super) fn new(env: &Env) -> Self {
        Self::on(Paper::of(io::stdout(), env))
    }

    /// Makes an empty one for this paper.
    pub(super) fn on(paper: Paper) -> Self {
        Self { paper, text: String::new() }
    }

    /// Returns the paper.
    pub(super) fn paper(&self) -> Paper {
        self.paper
    }

    /// Returns the columns of a line.
    pub(super) fn width(&self) -> usize {
        self.paper.width.unwrap_or(usize::MAX)
    }

    /// Adds a line; what does not fit goes on below, indented by two more than the line itself. A hint or a fix stays
    /// whole.
    pub(super) fn line(&mut self, cell: impl Into<Cell>) {
        let spans = cell.into().spans();
        let first = spans.first().map_or("", |span| span.text.as_str());
        let indent = first.len() - first.trim_start_matches(' ').len() + 2;
        let most = if is_to_copy(first) { usize::MAX } else { self.width() };
        for line in wrap(&spans, most, indent) {
            self.put(&line);
            self.text.push('\n');
        }
    }

    /// Adds an empty line.
    pub(super) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// Adds a grid.
    pub(super) fn grid(&mut self, grid: &Grid) {
        let widths = grid.widths(self.width());
        let shown: Vec<usize> = (0..widths.len()).filter(|at| widths[*at].is_some()).collect();
        let is_headed = self.paper.is_terminal || !grid.is_bare_on_pipes;
        if is_headed && grid.columns.iter().any(|column| !column.title.is_empty()) {
            let titles: Vec<Cell> = grid.columns.iter().map(|column| Cell::strong(column.title)).collect();
            self.row(grid, &titles, &widths, &shown);
        }
        grid.rows.iter().for_each(|row| self.row(grid, row, &widths, &shown));
    }

    fn row(&mut self, grid: &Grid, cells: &[Cell], widths: &[Option<usize>], shown: &[usize]) {
        let fitted: Vec<Vec<Vec<Span>>> = shown
            .iter()
            .map(|at| match (widths[*at].expect("a column that is shown"), grid.columns[*at].fit) {
                (most, Fit::Wrap) => wrap(&cells[*at].spans(), most, 0),
                (most, _) => vec![fit(cells[*at].spans(), most)],
            })
            .collect();
        for height in 0..fitted.iter().map(Vec::len).max().unwrap_or(0) {
            let line = |place: usize| fitted[place].get(height).map_or(&[][..], Vec::as_slice);
            let last = (0..shown.len()).rev().find(|place| !line(*place).is_empty());
            self.text.extend(std::iter::repeat_n(' ', grid.indent));
            for (place, at) in shown.iter().enumerate().take(last.map_or(0, |last| last + 1)) {
                let spans = line(place);
                let used = width_of(spans);
                let room = widths[*at].expect("a column that is shown").saturating_sub(used);
                let (before, after) = if grid.columns[*at].is_right { (room, 0) } else { (0, room) };
                self.text.extend(std::iter::repeat_n(' ', if place > 0 { GAP } else { 0 } + before));
                self.put(spans);
                if last != Some(place) {
                    self.text.extend(std::iter::repeat_n(' ', after));
                }
            }
            let bare = self.text.trim_end_matches(' ').len();
            self.text.truncate(bare);
            self.text.push('\n');
        }
    }

    fn put(&mut self, spans: &[Span]) {
        for Span { text, tone } in spans {
            match self.paper.has_styles {
                true => self.text += &tone.paint(text),
                false => self.text += text,
            }
        }
    }

    /// Writes all of it to standard output.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn show(&self) -> io::Result<()> {
        io::stdout().lock().write_all(self.text.as_bytes())
    }

    /// Returns the text.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// Cuts a cell to at most `most` columns. One of several pieces loses its style then.
fn fit(spans: Vec<Span>, most: usize) -> Vec<Span> {
    if width_of(&spans) <= most {
        return spans;
    }
    let all: String = spans.iter().map(|span| span.text.as_str()).collect();
    let tone = match spans.as_slice() {
        [only] => only.tone,
        _ => Tone::Plain,
    };
    vec![Span { text: cut(&all, most).into_owned(), tone }]
}

fn width_of(spans: &[Span]) -> usize {
    spans.iter().map(|span| width(&span.text)).sum()
}

/// What becomes of a column where the terminal is too narrow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fit {
    /// Its cells stay whole, as far as possible: sizes, ages.
    Whole,
    /// Its cells are cut in their middle: names, paths.
    Cut,
    /// Its cells go on below: sentences.
    Wrap,
    /// It is left out; the last one of these first.
    Drop,
}

/// A column of a grid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    fit: Fit,
    is_right: bool,
}

impl Column {
    /// Makes one for short texts, which stay whole.
    pub(super) fn of(title: &'static str) -> Self {
        Self { title, fit: Fit::Whole, is_right: false }
    }

    /// Makes one for figures, at the right.
    pub(super) fn figure(title: &'static str) -> Self {
        Self { title, fit: Fit::Whole, is_right: true }
    }

    /// Makes one for names, which are cut in their middle.
    pub(super) fn name(title: &'static str) -> Self {
        Self { title, fit: Fit::Cut, is_right: false }
    }

    /// Makes one for sentences, which go on below.
    pub(super) fn text(title: &'static str) -> Self {
        Self { title, fit: Fit::Wrap, is_right: false }
    }

    /// Has it left out where there is no room.
    pub(super) fn or_none(mut self) -> Self {
        self.fit = Fit::Drop;
        self
    }
}

/// Rows of cells in columns.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    columns: Vec<Column>,
    indent: usize,
    is_bare_on_pipes: bool,
    rows: Vec<Vec<Cell>>,
}

impl Grid {
    /// Makes an empty one.
    pub(super) fn of(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), indent: 0, is_bare_on_pipes: false, rows: Vec::new() }
    }

    /// Begins every line with this many spaces.
    pub(super) fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// Leaves the headings out on a pipe, where a program reads line by line.
    pub(super) fn bare_on_pipes(mut self) -> Self {
        self.is_bare_on_pipes = true;
        self
    }

    /// Adds a row, with a cell for each column.
    pub(super) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        assert_eq!(N, self.columns.len(), "a cell for each column");
        self.rows.push(cells.to_vec());
    }

    /// True if it has no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Chooses the width of each column for lines of `most` columns; `None` for those that are left out.
    fn widths(&self, most: usize) -> Vec<Option<usize>> {
        let natural = |at: usize| {
            let cells = self.rows.iter().map(|row| width_of(&row[at].spans())).max().unwrap_or(0);
            cells.max(width(self.columns[at].title))
        };
        let mut widths: Vec<Option<usize>> = (0..self.columns.len()).map(|at| Some(natural(at))).collect();
        let is_elastic = |at: usize| matches!(self.columns[at].fit, Fit::Cut | Fit::Wrap);
        let (indent, all) = (self.indent, |_: usize| true);
        narrow(&mut widths, most, indent, COMFORT, is_elastic);
        while !fits(&widths, most, indent) {
            let last = (0..widths.len()).rev().find(|at| self.columns[*at].fit == Fit::Drop && widths[*at].is_some());
            let Some(last) = last else { break };
            widths[last] = None;
            for at in (0..widths.len()).filter(|at| is_elastic(*at)) {
                widths[at] = Some(natural(at));
            }
            narrow(&mut widths, most, indent, COMFORT, is_elastic);
        }
        narrow(&mut widths, most, indent, LEAST, is_elastic);
        narrow(&mut widths, most, indent, 1, all);
        widths
    }
}

fn fits(widths: &[Option<usize>], most: usize, indent: usize) -> bool {
    let shown = widths.iter().flatten();
    let sum = shown.clone().fold(indent, |sum, width| sum.saturating_add(*width));
    sum.saturating_add(GAP * shown.count().saturating_sub(1)) <= most
}

/// Takes columns from the widest of these cells until all fit, or none is wider than `least`.
fn narrow(widths: &mut [Option<usize>], most: usize, indent: usize, least: usize, may: impl Fn(usize) -> bool) {
    while !fits(widths, most, indent) {
        let widest = (0..widths.len()).filter(|at| may(*at)).max_by_key(|at| widths[*at]);
        match widest.and_then(|at| widths[at].as_mut()).filter(|width| **width > least) {
            Some(width) => *width -= 1,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(width: Option<usize>) -> Screen {
        Screen::on(Paper { width, has_styles: false, is_terminal: width.is_some() })
    }

    fn files() -> Grid {
        let mut grid = Grid::of(&[Column::name("FILE"), Column::figure("SIZE"), Column::of("FROM").or_none()]);
        grid.row(["zlib-1.3.1-2-any".into(), "93 KiB".into(), "mirror.example".into()]);
        grid.row([
            Cell::strong("a-very-long-name-of-a-package-日本語のパッケージ-999.999.999-1-x86_64.pkg.tar.zst"),
            "999999999999 B".into(),
            Cell::default(),
        ]);
        grid
    }

    #[test]
    fn figures_stand_at_the_right_and_no_line_ends_with_spaces() {
        let mut screen = on(None);
        let mut grid = Grid::of(&[Column::name("FILE"), Column::figure("SIZE")]).indented(2);
        grid.row(["a".into(), "1 B".into()]);
        grid.row(["日本".into(), "10 KiB".into()]);
        screen.grid(&grid);
        assert_eq!(screen.text(), "  FILE    SIZE\n  a        1 B\n  日本  10 KiB\n");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for most in [20, 40, 60, 80, 100, 200] {
            let mut screen = on(Some(most));
            screen.grid(&files());
            screen.line(Cell::of("  refused: ", Tone::Bad).then("日本語のパッケージ名前はここにあります ".repeat(4)));
            let mut facts = Grid::of(&[Column::of(""), Column::text("")]);
            facts.row([
                "sharing".into(),
                Cell::from("on with many networks, ".repeat(6)).next("sudo pkgswarm lan trust"),
            ]);
            screen.grid(&facts);
            for line in screen.text().lines() {
                assert!(width(line) <= most && line == line.trim_end(), "{line:?} at {most}");
            }
        }
    }

    #[test]
    fn names_are_cut_before_a_column_is_left_out_and_figures_stay() {
        let shown = |most| {
            let mut screen = on(Some(most));
            screen.grid(&files());
            screen.text().to_owned()
        };
        assert!(shown(80).contains('…') && shown(80).contains("mirror.example"), "{}", shown(80));
        assert!(!shown(50).contains("mirror.example") && shown(50).contains("999999999999 B"), "{}", shown(50));
    }

    #[test]
    fn styles_are_for_paper_that_shows_them() {
        let mut screen = Screen::on(Paper { width: Some(80), has_styles: true, is_terminal: true });
        screen.line(Cell::of("EXPIRED", Tone::Bad).then(" 3 h ago \u{1b}[2J"));
        assert!(screen.text().starts_with("\u{1b}[31m\u{1b}[1mEXPIRED\u{1b}[0m 3 h ago"), "{:?}", screen.text());
        assert!(!screen.text().contains("\u{1b}[2J"), "foreign text is escaped: {:?}", screen.text());
    }
}
