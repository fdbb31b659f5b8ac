//! DataFusion's own dialect, with a budget of steps and one operator parsed anew.
//!
//! - sqlparser 0.62 tries some words twice, as a keyword and as a name, so `not(not(not(…` costs it 2^n steps, and
//!   nothing can interrupt it. Here every attempt at an expression is counted. When the budget is spent all further
//!   attempts fail, so the parser gives up in linear time. (apache/datafusion-sqlparser-rs#2350, #2352 and #2372 end
//!   the shapes that are known, in the release after 0.62; new ones keep being found, so the budget stays.)
//! - sqlparser 0.62 takes everything to the right of `IS [NOT] DISTINCT FROM` for its operand, `AND` and `OR` included
//!   (apache/datafusion-sqlparser-rs#2436 and #2459, apache/datafusion#23692). Remove [`Dialect::parse_infix`] here
//!   with the first DataFusion that has a sqlparser with those.

use std::any::TypeId;
use std::cell::Cell;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

/// Honest texts need about one step for every two bytes.
const STEPS_PER_BYTE: usize = 4;
/// For short texts.
const STEPS: usize = 10_000;

/// The generic dialect for one parse of one text.
#[derive(Debug)]
pub(super) struct Budgeted {
    inner: GenericDialect,
    steps: Cell<usize>,
}

impl Budgeted {
    /// A budget for a text of this length.
    pub(super) fn new(text_bytes: usize) -> Self {
        Self { inner: GenericDialect {}, steps: Cell::new(STEPS + text_bytes * STEPS_PER_BYTE) }
    }
}

/// Answers as the generic dialect does. A question that is missing here is answered as the parser does by default: some
/// syntax is then not understood, nothing worse.
macro_rules! as_generic {
    ($($question:ident)*) => {
        $(fn $question(&self) -> bool {
            self.inner.$question()
        })*
    };
}

impl Dialect for Budgeted {
    fn dialect(&self) -> TypeId {
        self.inner.dialect()
    }

    fn parse_prefix(&self, _: &mut Parser) -> Option<Result<Expr, ParserError>> {
        match self.steps.get().checked_sub(1) {
            Some(left) => {
                self.steps.set(left);
                None
            }
            None => Some(Err(ParserError::RecursionLimitExceeded)),
        }
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, _: u8) -> Option<Result<Expr, ParserError>> {
        let compare: fn(Box<Expr>, Box<Expr>) -> Expr =
            if parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]) {
                Expr::IsDistinctFrom
            } else if parser.parse_keywords(&[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM]) {
                Expr::IsNotDistinctFrom
            } else {
                return None;
            };
        let right = parser.parse_subexpr(self.prec_value(Precedence::Is));
        Some(right.map(|right| compare(Box::new(left.clone()), Box::new(right))))
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        self.inner.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        self.inner.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.inner.is_identifier_part(ch)
    }

    as_generic! {
    supports_unicode_string_literal supports_partition_by_after_order_by supports_array_join_syntax
    supports_group_by_expr supports_group_by_with_modifier supports_left_associative_joins_without_parens
    supports_connect_by supports_match_recognize supports_pipe_operator
    supports_start_transaction_modifier supports_window_function_null_treatment_arg supports_dictionary_syntax
    supports_window_clause_named_window_reference supports_parenthesized_set_variables supports_select_wildcard_except
    support_map_literal_syntax allow_extract_custom allow_extract_single_quotes
    supports_extract_comma_syntax supports_create_view_comment_syntax supports_parens_around_table_factor
    supports_values_as_table_factor supports_create_index_with_clause supports_explain_with_utility_options
    supports_limit_comma supports_update_order_by supports_from_first_select
    supports_projection_trailing_commas supports_asc_desc_in_column_definition supports_try_convert
    supports_bitwise_shift_operators supports_comment_on supports_load_extension
    supports_named_fn_args_with_assignment_operator supports_struct_literal supports_empty_projections
    supports_nested_comments supports_multiline_comment_hints supports_user_host_grantee
    supports_string_escape_constant supports_array_typedef_with_brackets supports_match_against
    supports_set_names supports_comma_separated_set_assignments supports_filter_during_aggregation
    supports_select_wildcard_exclude supports_data_type_signed_suffix supports_interval_options
    supports_quote_delimited_string supports_select_wildcard_replace supports_select_wildcard_ilike
    supports_select_wildcard_rename supports_optimize_table supports_install
    supports_detach supports_prewhere supports_with_fill
    supports_limit_by supports_interpolate supports_settings
    supports_select_format supports_comment_optimizer_hint supports_constraint_keyword_without_name
    supports_key_column_option supports_comma_separated_trim supports_cte_without_as
    supports_select_item_multi_column_alias supports_xml_expressions
    }
}
