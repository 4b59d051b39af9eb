"""Reads a spreadsheet with gspread and google-auth, and prints what they made of it as JSON.

Arguments: the service account's key file, the base URL in the place of Google's, the spreadsheet's id.
"""

import json
import sys

import gspread
from google.oauth2.service_account import Credentials

GOOGLE = "https://sheets.googleapis.com"
READ_ONLY = "https://www.googleapis.com/auth/spreadsheets.readonly"


def client_of(base_url):
    class Client(gspread.http_client.HTTPClient):
        def request(self, method, endpoint, **options):
            return super().request(method, endpoint.replace(GOOGLE, base_url, 1), **options)

    return Client


def refusal(call):
    try:
        call()
    except gspread.exceptions.APIError as error:
        return {"code": error.code, "message": error.error["message"], "status": error.error["status"]}
    except gspread.exceptions.GSpreadException as error:
        return {"type": type(error).__name__}
    return None


key_file, base_url, sheet_id = sys.argv[1:]
credentials = Credentials.from_service_account_file(key_file, scopes=[READ_ONLY])
client = gspread.authorize(credentials, http_client=client_of(base_url))
spreadsheet = client.open_by_key(sheet_id)
sheet = spreadsheet.sheet1
unformatted = {"value_render_option": "UNFORMATTED_VALUE", "date_time_render_option": "SERIAL_NUMBER"}
print(
    json.dumps(
        {
            "title": spreadsheet.title,
            "sheets": [[it.id, it.title, it.row_count, it.col_count] for it in spreadsheet.worksheets()],
            "formatted": sheet.get_all_values(),
            "values": sheet.get("A1:Z", **unformatted),
            "cell": sheet.acell("B2").value,
            "batch": sheet.batch_get(["A1:B2", "D2:D"], **unformatted),
            "records": sheet.get_all_records(),
            "write": refusal(lambda: sheet.update([["1"]], "A1")),
            "batch_update": refusal(lambda: spreadsheet.add_worksheet("new", 1, 1)),
            "no_such_range": refusal(lambda: spreadsheet.values_get("NoSuchTab!A1:B2")),
            "no_such_tab": refusal(lambda: spreadsheet.worksheet("NoSuchTab")),
            "no_such_sheet": refusal(lambda: client.http_client.fetch_sheet_metadata("no-such-id")),
        }
    )
)
