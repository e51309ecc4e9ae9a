"""The pages: what people leave open in a browser. They are the API's first client, in the same process.

    site = create_site(parts, api)      the application that answers pages, and hands everything else to the API

A page reads by requests to the API's own application, with the principal of the session. So what a page shows, may do
and records is what the API shows, allows and records. Jinja2 lives here, in templating.py.
"""
