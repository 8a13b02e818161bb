//! Rows as [Parquet](https://parquet.apache.org/docs/file-format/): whole numbers as INT64, probabilities as FLOAT, names and
//! passed cells as strings; every column may hold nulls. A row group has [`ROWS_PER_GROUP`] rows, however they were read.

use std::sync::Arc;

use anyhow::{Context, Result};
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::columns::{Columns, Holds, Row, Value};
use super::sheet::Sheet;

const ROWS_PER_GROUP: usize = 1 << 14;

/// Writes a table.
pub(super) struct Writer {
    file: SerializedFileWriter<Sheet>,
    columns: Columns,
    piles: Vec<Pile>,
    rows: usize,
}

/// The cells of one column that are not written yet.
struct Pile {
    values: Values,
    /// 1 for each row with a value, 0 for each without.
    levels: Vec<i16>,
}

enum Values {
    Whole(Vec<i64>),
    Number(Vec<f32>),
    Text(Vec<ByteArray>),
}

impl Writer {
    /// Begins a table of these columns.
    pub(super) fn new(sheet: Sheet, columns: Columns) -> Result<Self> {
        let fields = columns.list.iter().map(|column| {
            let (physical, logical) = match column.holds {
                Holds::Row | Holds::Label | Holds::TrueLabel => (Physical::INT64, None),
                Holds::Confidence | Holds::Probability(_) | Holds::TopProbability(_) => (Physical::FLOAT, None),
                Holds::Class | Holds::TopClass(_) | Holds::Passed(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            };
            let field = Type::primitive_type_builder(&column.name, physical);
            field.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build().map(Arc::new)
        });
        let fields = fields.collect::<Result<_, _>>().context("the columns make no Parquet table")?;
        let schema = Type::group_type_builder("predictions").with_fields(fields).build();
        let schema = schema.context("the columns make no Parquet table")?;
        let properties = WriterProperties::builder().set_created_by("atelier".to_owned()).build();
        let context = sheet.writing();
        let file = SerializedFileWriter::new(sheet, Arc::new(schema), Arc::new(properties)).context(context)?;
        let piles = columns.list.iter().map(|column| Pile::new(column.holds)).collect();
        Ok(Self { file, columns, piles, rows: 0 })
    }

    /// Appends a row.
    pub(super) fn push(&mut self, row: &Row<'_>, classes: &[String]) -> Result<()> {
        for (pile, column) in self.piles.iter_mut().zip(&self.columns.list) {
            pile.push(row.value(column.holds, classes));
        }
        self.rows += 1;
        if self.rows == ROWS_PER_GROUP { self.write_group() } else { Ok(()) }
    }

    fn write_group(&mut self) -> Result<()> {
        let context = "cannot write a Parquet row group";
        let mut group = self.file.next_row_group().context(context)?;
        for pile in &mut self.piles {
            let mut column = group.next_column().context(context)?.context("a column is missing in the Parquet table")?;
            let levels = Some(pile.levels.as_slice());
            match &mut pile.values {
                Values::Whole(values) => column.typed::<Int64Type>().write_batch(values, levels, None).map(|_| values.clear()),
                Values::Number(values) => column.typed::<FloatType>().write_batch(values, levels, None).map(|_| values.clear()),
                Values::Text(values) => column.typed::<ByteArrayType>().write_batch(values, levels, None).map(|_| values.clear()),
            }
            .context(context)?;
            column.close().context(context)?;
            pile.levels.clear();
        }
        group.close().context(context)?;
        self.rows = 0;
        Ok(())
    }

    /// Writes what is left, and the foot of the file.
    pub(super) fn finish(mut self) -> Result<Sheet> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.file.into_inner().context("cannot write the foot of the Parquet table")
    }
}

impl Pile {
    fn new(holds: Holds) -> Self {
        let values = match holds {
            Holds::Row | Holds::Label | Holds::TrueLabel => Values::Whole(Vec::new()),
            Holds::Confidence | Holds::Probability(_) | Holds::TopProbability(_) => Values::Number(Vec::new()),
            Holds::Class | Holds::TopClass(_) | Holds::Passed(_) => Values::Text(Vec::new()),
        };
        Self { values, levels: Vec::new() }
    }

    fn push(&mut self, value: Value<'_>) {
        match (&mut self.values, value) {
            (Values::Whole(values), Value::Whole(value)) => values.push(value as i64),
            (Values::Number(values), Value::Number(value)) => values.push(value),
            (Values::Text(values), Value::Text(value)) => values.push(ByteArray::from(value.to_vec())),
            (_, Value::Nothing) => return self.levels.push(0),
            _ => unreachable!("a column holds values of one type"),
        }
        self.levels.push(1);
    }
}
