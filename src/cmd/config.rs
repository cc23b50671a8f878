//! `pkgswarm config`: every setting, its value, and the layer it comes from.

use std::io::Write as _;

use crate::base::env::Env;
use crate::base::error::Error;
use crate::cmd::cli::ConfigArgs;
use crate::cmd::screen::{Column, Grid, Screen};
use crate::config::key::{SettingKey, Shape, nearest};
use crate::config::keys::KEYS;
use crate::config::layers::{Chosen, Origin};
use crate::config::written::Written;
use crate::config::{Layers, Settings};
use crate::report;
use crate::report::cell::Cell;
use crate::report::columns::Tone;

/// Runs the command.
pub(crate) fn run(env: &Env, flags: &[String], args: &ConfigArgs) -> anyhow::Result<u8> {
    let layers = Layers::read(env, flags)?;
    let settings = Settings::from_layers(env, &layers);
    let mut out = crate::report::out();
    let effective = |name: &str, text: &str| match name {
        "store.dir" => settings.store_dir.as_ref().map_or("none".to_owned(), |dir| dir.display().to_string()),
        "state.dir" => settings.state_dir.display().to_string(),
        _ => text.to_owned(),
    };
    // A section is a part of the list.
    let is_in = |key: &SettingKey, section: &str| key.name.split('.').next() == Some(section);
    let section = args.key.as_deref().filter(|wanted| !args.json && KEYS.iter().any(|key| is_in(key, wanted)));
    if let Some(wanted) = args.key.as_ref().filter(|_| section.is_none()) {
        let Some(Chosen { text, origin, .. }) = layers.values.get(wanted.as_str()) else {
            let near = nearest(wanted, KEYS.iter().map(|key| key.name));
            let hint =
                near.map_or("`pkgswarm config` lists all of them".to_owned(), |near| format!("did you mean {near}?"));
            return Err(Error::usage(wanted, "there is no such setting").hint(hint).into());
        };
        let value = effective(wanted, text);
        if args.json {
            writeln!(out, "{}", serde_json::json!({"key": wanted, "value": value, "origin": origin.to_string()}))?;
        } else {
            writeln!(out, "{value}")?;
        }
        return Ok(0);
    }
    if args.json {
        let rows = KEYS.iter().map(|key| {
            let Chosen { text, origin, .. } = &layers.values[key.name];
            serde_json::json!({
                "key": key.name, "value": effective(key.name, text), "origin": origin.to_string(),
                "default": key.default, "variable": key.variable(),
            })
        });
        let indexes = layers.indexes.values().map(|(index, origin)| {
            let mut row = serde_json::to_value(index).expect("plain data");
            row["origin"] = origin.to_string().into();
            row
        });
        let all = serde_json::json!({"settings": rows.collect::<Vec<_>>(), "indexes": indexes.collect::<Vec<_>>()});
        writeln!(out, "{all:#}")?;
        return Ok(0);
    }
    let mut screen = Screen::new(env);
    let mut grid = Grid::of(&[Column::of(""), Column::name(""), Column::name("")]);
    for key in KEYS {
        let Chosen { text, origin, .. } = &layers.values[key.name];
        let is_default = *origin == Origin::Default;
        if is_default && args.changed || section.is_some_and(|section| !is_in(key, section)) {
            continue;
        }
        let value = effective(key.name, text);
        let value = if screen.paper().is_terminal { shown_value(key, &value) } else { value };
        let tone = if is_default { Tone::Quiet } else { Tone::Plain };
        grid.row([key.name.into(), Cell::of(value, tone), Cell::quiet(format!("({origin})"))]);
    }
    for (index, origin) in layers.indexes.values().filter(|_| section.is_none_or(|section| section == "index")) {
        let key = index.key.as_ref().map(Written::text).or(index.minisign.as_ref().map(Written::text)).unwrap_or("");
        let value = format!("{key} for {}", index.repos_shown());
        grid.row([format!("index.{}", index.name).into(), value.into(), Cell::quiet(format!("({origin})"))]);
    }
    if grid.is_empty() {
        report::say("every setting has its default: `pkgswarm config` lists them");
        return Ok(0);
    }
    screen.grid(&grid);
    screen.show()?;
    Ok(0)
}

/// Returns a value as users at a terminal read it: an empty list is none, a limit of 0 is none either.
fn shown_value(key: &SettingKey, value: &str) -> String {
    match (key.shape, value) {
        (_, "") => "none".to_owned(),
        (Shape::Size(_), "0") if key.default == "0" => "no limit".to_owned(),
        _ => value.to_owned(),
    }
}
