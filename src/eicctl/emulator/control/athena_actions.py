"""Athena's operations, as methods of moto's response class; DuckDB and sqlglot are imported with the first one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult

from eicctl.emulator.control.backends import Action, ApiError
from eicctl.emulator.control.credentials import CALLER
from eicctl.emulator.control.permission import CALL, Permission
from eicctl.emulator.control.policy_language import evaluate, policies_of
from eicctl.emulator.state import State

if TYPE_CHECKING:
    from eicctl.emulator.control.athena import Query


class AthenaActions:
    """Operations of Athena.

    Args:
        state: The emulator's memory.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._permission = Permission(state)

    def actions(self) -> dict[str, Action]:
        """The operations, by their names in snake case."""
        return {
            "start_query_execution": self.start,
            "get_query_execution": self.execution,
            "get_query_results": self.results,
            "stop_query_execution": self.stop,
            "get_table_metadata": self.table_metadata,
        }

    def start(self, response: Any) -> ActionResult:
        """StartQueryExecution."""
        from eicctl.emulator.control import athena

        query_id = athena.start(
            self._state,
            response.region,
            sql=response._get_param("QueryString", ""),
            database=(response._get_param("QueryExecutionContext") or {}).get("Database", ""),
            workgroup=response._get_param("WorkGroup", ""),
            output=(response._get_param("ResultConfiguration") or {}).get("OutputLocation", ""),
            policies=policies_of(CALLER.get().arn),
            context=self._permission.context(CALLER.get(), CALL.get()),
        )
        return ActionResult({"QueryExecutionId": query_id})

    @staticmethod
    def execution(response: Any) -> ActionResult:
        """GetQueryExecution."""
        return ActionResult({"QueryExecution": _query(response).shown()})

    @staticmethod
    def results(response: Any) -> ActionResult:
        """GetQueryResults."""
        from eicctl.emulator.control import athena

        size = int(response._get_param("MaxResults") or athena.PAGE)
        if not 1 <= size <= athena.PAGE:
            raise ApiError("InvalidRequestException", "MaxResults must be between 1 and 1000.")
        return ActionResult(athena.results(_query(response), response._get_param("NextToken"), size))

    @staticmethod
    def stop(response: Any) -> ActionResult:
        """StopQueryExecution."""
        from eicctl.emulator.control import athena

        athena.stop(_query(response))
        return ActionResult({})

    def table_metadata(self, response: Any) -> ActionResult:
        """GetTableMetadata. It reads the Glue Data Catalog with the caller's permissions."""
        from eicctl.emulator.control import athena
        from eicctl.emulator.control.athena_tables import QueryFailed

        database, name = response._get_param("DatabaseName", ""), response._get_param("TableName", "")
        policies, context = policies_of(CALLER.get().arn), self._permission.context(CALLER.get(), CALL.get())
        if policies is not None and not evaluate(policies, "glue:GetTable", None, context).allowed:
            raise _metadata_error(
                f"User: {CALLER.get().arn} is not authorized to perform: glue:GetTable", "AccessDeniedException"
            )
        try:
            table = athena.catalog(response.region).table(database, name)
        except QueryFailed:
            raise _metadata_error("Entity Not Found", "EntityNotFoundException") from None
        columns = {
            title: [{"Name": key, "Type": kind.sql(dialect="hive").lower()} for key, kind in found.items()]
            for title, found in (("Columns", table.columns), ("PartitionKeys", table.keys))
        }
        parameters = {**table.properties, "location": table.location}
        found = {"Name": table.name, "TableType": "EXTERNAL_TABLE", "Parameters": parameters, **columns}
        return ActionResult({"TableMetadata": found})


def _query(response: Any) -> Query:
    from eicctl.emulator.control import athena

    return athena.find(response.region, response._get_param("QueryExecutionId", ""))


def _metadata_error(text: str, code: str) -> ApiError:
    message = f"{text} (Service: AmazonDataCatalog; Status Code: 400; Error Code: {code}; Request ID: 1)"
    return ApiError("MetadataException", message)
