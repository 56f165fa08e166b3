"""How requests are identified, and what is refused before anything runs.

`local`   no login: for addresses that only this machine reaches
`host`    the login of the application in which the pages are mounted
`guard`   in front of everything: hosts, origins, identities, sizes, the headers of answers
"""
