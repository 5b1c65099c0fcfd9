"""Who gets what answer. One row a route, command or question; routes.py and commands.py say how it is asked.

``ok`` is any success. The other words are codes of errors, the usual ones shortened (asking.WORDS): ``401``
unauthenticated, ``403`` forbidden, ``404`` not_found, ``422`` validation_failed, ``no-chat`` chat_not_found
and so on. "direct" is the direct chat of the one who asks with somebody; "own" and "another's" say whose the
thing is that is asked about.
"""

from tests.system.authority.cast import ACTORS

# ruff: noqa: E501  # a row of a table is a line
_ROUTES = """
# accounts
                                                                         | nobody   stranger member   muted    moder.   owner    blocked  removed  banned   staff    admin
POST /users                                                              | ok       ok       ok       ok       ok       ok       ok       ok       ok       ok       ok
POST /auth/login                                                         | ok       ok       ok       ok       ok       ok       ok       ok       ok       ok       ok
POST /auth/refresh                                                       | ok       ok       ok       ok       ok       ok       ok       ok       ok       ok       ok
POST /auth/logout                                                        | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
POST /auth/oidc/{provider}                                               | 401      401      401      401      401      401      401      401      401      401      401
GET /auth/sessions                                                       | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
DELETE /auth/sessions                                                    | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
DELETE /auth/sessions/{session_id} · own                                 | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
DELETE /auth/sessions/{session_id} · another's                           | 401      404      404      404      404      404      404      404      banned   404      404
POST /auth/password                                                      | 401      conflict conflict conflict conflict conflict conflict conflict banned   conflict conflict
POST /auth/password/forgot                                               | ok       ok       ok       ok       ok       ok       ok       ok       ok       ok       ok
POST /auth/password/reset                                                | 422      422      422      422      422      422      422      422      422      422      422
POST /auth/email                                                         | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
POST /auth/email/verify                                                  | 422      422      422      422      422      422      422      422      422      422      422
GET /users                                                               | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
GET /users/{user_id}                                                     | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
PATCH /users/{user_id} · own                                             | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
PATCH /users/{user_id} · another's                                       | 401      403      403      403      403      403      403      403      banned   403      ok
DELETE /users/me                                                         | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
POST /users/me/export                                                    | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
GET /users/me/export/{export_id} · own                                   | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
GET /users/me/export/{export_id} · another's                             | 401      404      404      404      404      404      404      404      banned   404      404
GET /users/me/export/{export_id}/parts/{number} · own                    | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
GET /users/me/export/{export_id}/parts/{number} · another's              | 401      404      404      404      404      404      404      404      banned   404      404

# media
                                                                         | nobody   stranger member   muted    moder.   owner    blocked  removed  banned   staff    admin
POST /media                                                              | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
PUT /media/{media_id}/upload · by its link                               | rejected rejected rejected rejected rejected rejected rejected rejected rejected rejected rejected
PUT /media/{media_id}/upload · without                                   | no-link  no-link  no-link  no-link  no-link  no-link  no-link  no-link  no-link  no-link  no-link
POST /media/{media_id}/complete · another's                              | 401      no-media no-media no-media no-media no-media no-media no-media banned   no-media no-media
GET /media/{media_id} · of the group                                     | 401      no-media ok       ok       ok       ok       ok       no-media 401      no-media no-media
GET /media/{media_id} · not sent yet                                     | 401      no-media no-media no-media no-media no-media no-media no-media 401      no-media no-media
GET /media/{media_id}/details · of the group                             | 401      no-media ok       ok       ok       ok       ok       no-media 401      no-media no-media
GET /media/{media_id}/file · by its link                                 | ok       ok       ok       ok       ok       ok       ok       ok       ok       ok       ok
GET /media/{media_id}/file · without                                     | no-link  no-link  no-link  no-link  no-link  no-link  no-link  no-link  no-link  no-link  no-link
DELETE /media/{media_id} · own                                           | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
DELETE /media/{media_id} · another's                                     | 401      no-media no-media no-media no-media no-media no-media no-media banned   no-media no-media
PUT /users/me/avatar · own                                               | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
PUT /users/me/avatar · another's                                         | 401      no-media no-media no-media no-media no-media no-media no-media banned   no-media no-media
DELETE /users/me/avatar                                                  | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok

# chats
                                                                         | nobody   stranger member   muted    moder.   owner    blocked  removed  banned   staff    admin
POST /chats · direct                                                     | 401      ok       ok       ok       ok       ok       blocked  ok       banned   ok       ok
POST /chats · group                                                      | 401      ok       ok       ok       ok       ok       blocked  ok       banned   ok       ok
GET /chats                                                               | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
GET /chats/{chat_id}                                                     | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
GET /chats/{chat_id} · direct of others                                  | 401      no-chat  no-chat  no-chat  no-chat  ok       no-chat  no-chat  banned   no-chat  no-chat
PATCH /chats/{chat_id}                                                   | 401      no-chat  403      403      ok       ok       403      no-chat  banned   no-chat  no-chat
GET /chats/{chat_id}/settings                                            | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
PUT /chats/{chat_id}/settings                                            | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
POST /chats/{chat_id}/members                                            | 401      no-chat  403      403      ok       ok       403      no-chat  banned   no-chat  no-chat
POST /chats/{chat_id}/members · direct                                   | 401      403      403      403      403      403      403      403      banned   403      403
PUT /chats/{chat_id}/members/{user_id}                                   | 401      no-chat  403      403      403      ok       403      no-chat  banned   no-chat  no-chat
PUT /chats/{chat_id}/members/{user_id} · oneself                         | 401      no-chat  403      403      403      ok       403      no-chat  banned   no-chat  no-chat
DELETE /chats/{chat_id}/members/{user_id}                                | 401      no-chat  403      403      ok       ok       403      no-chat  banned   no-chat  no-chat
DELETE /chats/{chat_id}/members/{user_id} · the owner                    | 401      no-chat  403      403      403      conflict 403      no-chat  banned   no-chat  no-chat
DELETE /chats/{chat_id}/members/{user_id} · me                           | 401      no-chat  ok       ok       ok       conflict ok       no-chat  banned   no-chat  no-chat
GET /message-requests                                                    | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
POST /message-requests/{chat_id}/accept · for me                         | 401      ok       ok       ok       ok       ok       blocked  ok       banned   ok       ok
POST /message-requests/{chat_id}/accept · another's                      | 401      404      ok       404      404      404      404      404      banned   404      404
POST /message-requests/{chat_id}/decline · for me                        | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
POST /message-requests/{chat_id}/decline · another's                     | 401      404      ok       404      404      404      404      404      banned   404      404

# messages
                                                                         | nobody   stranger member   muted    moder.   owner    blocked  removed  banned   staff    admin
POST /chats/{chat_id}/messages                                           | 401      no-chat  ok       muted    ok       ok       ok       no-chat  banned   no-chat  no-chat
POST /chats/{chat_id}/messages · direct                                  | 401      ok       ok       ok       ok       ok       blocked  ok       banned   ok       ok
POST /chats/{chat_id}/messages · as another                              | 401      403      403      403      403      403      403      403      banned   403      403
POST /chats/{chat_id}/messages · calling all                             | 401      no-chat  403      403      ok       ok       403      no-chat  banned   no-chat  no-chat
GET /chats/{chat_id}/messages                                            | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
PATCH /chats/{chat_id}/messages/{message_id} · own                       | 401      no-chat  ok       muted    ok       ok       ok       no-chat  banned   no-chat  no-chat
PATCH /chats/{chat_id}/messages/{message_id} · another's                 | 401      no-chat  403      muted    403      403      403      no-chat  banned   no-chat  no-chat
DELETE /chats/{chat_id}/messages/{message_id} · own                      | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
DELETE /chats/{chat_id}/messages/{message_id} · another's                | 401      no-chat  403      403      ok       ok       403      no-chat  banned   no-chat  no-chat
DELETE /chats/{chat_id}/messages/{message_id} · direct, another's        | 401      403      403      403      403      403      403      403      banned   403      403
PUT /chats/{chat_id}/messages/{message_id}/reactions/{emoji}             | 401      no-chat  ok       muted    ok       ok       ok       no-chat  banned   no-chat  no-chat
PUT /chats/{chat_id}/messages/{message_id}/reactions/{emoji} · direct    | 401      ok       ok       ok       ok       ok       blocked  ok       banned   ok       ok
DELETE /chats/{chat_id}/messages/{message_id}/reactions/{emoji}          | 401      no-chat  ok       muted    ok       ok       ok       no-chat  banned   no-chat  no-chat
DELETE /chats/{chat_id}/messages/{message_id}/reactions/{emoji} · direct | 401      ok       ok       ok       ok       ok       blocked  ok       banned   ok       ok
GET /chats/{chat_id}/pins                                                | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
PUT /chats/{chat_id}/messages/{message_id}/pin                           | 401      no-chat  403      muted    ok       ok       403      no-chat  banned   no-chat  no-chat
PUT /chats/{chat_id}/messages/{message_id}/pin · direct                  | 401      ok       ok       ok       ok       ok       blocked  ok       banned   ok       ok
DELETE /chats/{chat_id}/messages/{message_id}/pin                        | 401      no-chat  403      muted    ok       ok       403      no-chat  banned   no-chat  no-chat
DELETE /chats/{chat_id}/messages/{message_id}/pin · direct               | 401      ok       ok       ok       ok       ok       blocked  ok       banned   ok       ok
GET /chats/{chat_id}/messages/{message_id}/versions                      | 401      no-chat  403      403      ok       ok       403      no-chat  banned   no-chat  no-chat
POST /chats/{chat_id}/messages/{message_id}/forward                      | 401      no-chat  ok       ok       ok       ok       blocked  no-chat  banned   no-chat  no-chat
POST /chats/{chat_id}/messages/{message_id}/forward · into the group     | 401      no-chat  ok       muted    ok       ok       ok       no-chat  banned   no-chat  no-chat
POST /chats/{chat_id}/read                                               | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
POST /chats/{chat_id}/typing                                             | 401      no-chat  ok       muted    ok       ok       ok       no-chat  banned   no-chat  no-chat
POST /chats/{chat_id}/typing · direct                                    | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
GET /presence                                                            | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok

# conversations
                                                                         | nobody   stranger member   muted    moder.   owner    blocked  removed  banned   staff    admin
GET /chats/{chat_id}/threads                                             | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
GET /chats/{chat_id}/threads/{message_id}                                | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
POST /chats/{chat_id}/threads/{message_id}/read                          | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
GET /mentions                                                            | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
GET /messages/{message_id}/link                                          | 401      no-msg   ok       ok       ok       ok       ok       no-msg   banned   no-msg   no-msg
GET /drafts                                                              | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
PUT /chats/{chat_id}/draft                                               | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
DELETE /chats/{chat_id}/draft                                            | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
POST /chats/{chat_id}/scheduled                                          | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
GET /scheduled                                                           | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
PATCH /scheduled/{scheduled_id} · own                                    | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
PATCH /scheduled/{scheduled_id} · another's                              | 401      404      404      404      404      404      404      404      banned   404      404
DELETE /scheduled/{scheduled_id} · own                                   | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
DELETE /scheduled/{scheduled_id} · another's                             | 401      404      404      404      404      404      404      404      banned   404      404
GET /search/messages                                                     | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
GET /search/messages · a chat                                            | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok

# moderation
                                                                         | nobody   stranger member   muted    moder.   owner    blocked  removed  banned   staff    admin
POST /chats/{chat_id}/messages/{message_id}/report                       | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
POST /chats/{chat_id}/messages/{message_id}/report · own                 | 401      no-chat  403      403      403      403      403      no-chat  banned   no-chat  no-chat
POST /users/{user_id}/report                                             | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
POST /users/{user_id}/report · oneself                                   | 401      403      403      403      403      403      403      403      banned   403      403
GET /moderation/cases                                                    | 401      403      403      403      403      403      403      403      banned   ok       ok
GET /moderation/cases · of the group                                     | 401      no-chat  403      403      ok       ok       403      no-chat  banned   ok       ok
GET /moderation/cases · of a direct chat                                 | 401      403      403      403      403      403      403      403      banned   ok       ok
GET /moderation/cases/{case_id}                                          | 401      404      404      404      ok       ok       404      404      banned   ok       ok
POST /moderation/cases/{case_id}/claim                                   | 401      404      404      404      ok       ok       404      404      banned   ok       ok
POST /moderation/cases/{case_id}/claim · claimed                         | 401      404      404      404      conflict conflict 404      404      banned   conflict conflict
POST /moderation/cases/{case_id}/release                                 | 401      404      404      404      ok       ok       404      404      banned   ok       ok
POST /moderation/cases/{case_id}/resolve                                 | 401      404      404      404      ok       ok       404      404      banned   ok       ok
POST /moderation/cases/{case_id}/resolve · by a ban from the server      | 401      404      404      404      403      403      404      404      banned   ok       ok
POST /moderation/cases/{case_id}/dismiss                                 | 401      404      404      404      ok       ok       404      404      banned   ok       ok
PUT /chats/{chat_id}/members/{user_id}/mute                              | 401      no-chat  403      403      ok       ok       403      no-chat  banned   ok       ok
PUT /chats/{chat_id}/members/{user_id}/mute · the owner                  | 401      no-chat  403      403      403      403      403      no-chat  banned   403      403
PUT /chats/{chat_id}/members/{user_id}/mute · direct                     | 401      403      403      403      403      403      403      403      banned   no-user  no-user
DELETE /chats/{chat_id}/members/{user_id}/mute                           | 401      no-chat  403      403      ok       ok       403      no-chat  banned   ok       ok
DELETE /chats/{chat_id}/members/{user_id}/mute · oneself                 | 401      no-chat  403      403      403      403      403      no-chat  banned   403      403
POST /chats/{chat_id}/members/{user_id}/kick                             | 401      no-chat  403      403      ok       ok       403      no-chat  banned   ok       ok
GET /chats/{chat_id}/bans                                                | 401      no-chat  403      403      ok       ok       403      no-chat  banned   ok       ok
PUT /chats/{chat_id}/bans/{user_id}                                      | 401      no-chat  403      403      ok       ok       403      no-chat  banned   ok       ok
PUT /chats/{chat_id}/bans/{user_id} · the owner                          | 401      no-chat  403      403      403      403      403      no-chat  banned   403      403
DELETE /chats/{chat_id}/bans/{user_id}                                   | 401      no-chat  403      403      ok       ok       403      no-chat  banned   ok       ok
PUT /chats/{chat_id}/messages/{message_id}/hidden                        | 401      no-chat  403      403      ok       ok       403      no-chat  banned   ok       ok
PUT /chats/{chat_id}/messages/{message_id}/hidden · direct               | 401      403      403      403      403      403      403      403      banned   ok       ok
DELETE /chats/{chat_id}/messages/{message_id}/hidden                     | 401      no-chat  403      403      ok       ok       403      no-chat  banned   ok       ok
GET /moderation/bans                                                     | 401      403      403      403      403      403      403      403      banned   ok       ok
PUT /moderation/bans/{user_id}                                           | 401      403      403      403      403      403      403      403      banned   ok       ok
PUT /moderation/bans/{user_id} · an admin                                | 401      403      403      403      403      403      403      403      banned   403      403
DELETE /moderation/bans/{user_id}                                        | 401      403      403      403      403      403      403      403      banned   ok       ok
PUT /moderation/mutes/{user_id}                                          | 401      403      403      403      403      403      403      403      banned   ok       ok
DELETE /moderation/mutes/{user_id}                                       | 401      403      403      403      403      403      403      403      banned   ok       ok
POST /moderation/users/{user_id}/kick                                    | 401      403      403      403      403      403      403      403      banned   ok       ok
GET /moderation/filters                                                  | 401      403      403      403      403      403      403      403      banned   ok       ok
POST /moderation/filters                                                 | 401      403      403      403      403      403      403      403      banned   403      ok
PUT /moderation/filters/{filter_id}                                      | 401      403      403      403      403      403      403      403      banned   403      ok
DELETE /moderation/filters/{filter_id}                                   | 401      403      403      403      403      403      403      403      banned   403      ok
GET /moderation/audit                                                    | 401      403      403      403      403      403      403      403      banned   403      ok

# devices and notifications
                                                                         | nobody   stranger member   muted    moder.   owner    blocked  removed  banned   staff    admin
POST /devices                                                            | 401      conflict conflict conflict conflict conflict conflict conflict banned   conflict conflict
GET /devices                                                             | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
GET /devices/web-push-key                                                | 401      conflict conflict conflict conflict conflict conflict conflict banned   conflict conflict
DELETE /devices/{device_id} · own                                        | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
DELETE /devices/{device_id} · another's                                  | 401      404      404      404      404      404      404      404      banned   404      404
GET /notifications                                                       | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
POST /notifications/read                                                 | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
POST /notifications/{notification_id}/read · own                         | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
POST /notifications/{notification_id}/read · another's                   | 401      404      404      404      404      404      404      404      banned   404      404
GET /notifications/settings                                              | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
PATCH /notifications/settings                                            | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok

# privacy
                                                                         | nobody   stranger member   muted    moder.   owner    blocked  removed  banned   staff    admin
GET /privacy                                                             | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
PATCH /privacy                                                           | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
GET /blocks                                                              | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
PUT /blocks/{user_id}                                                    | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
PUT /blocks/{user_id} · oneself                                          | 401      403      403      403      403      403      403      403      banned   403      403
DELETE /blocks/{user_id}                                                 | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok

# GPs
                                                                         | nobody   stranger member   muted    moder.   owner    blocked  removed  banned   staff    admin
POST /gp/create                                                          | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
GET /gp/list                                                             | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
POST /gp/join                                                            | 401      ok       ok       ok       ok       ok       no-gp    ok       banned   ok       ok
GET /gp/explore                                                          | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
POST /gp/permanent-convert                                               | 401      not-in   ok       ok       ok       ok       ok       not-in   banned   not-in   not-in
GET /gp/check-limits                                                     | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
GET /gp/my-gps                                                           | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
POST /gp/leave                                                           | 401      not-in   ok       ok       ok       ok       ok       not-in   banned   not-in   not-in
POST /gp/update-activity                                                 | 401      not-in   ok       ok       ok       ok       ok       not-in   banned   not-in   not-in
POST /gp/expire                                                          | 401      401      401      401      401      401      401      401      401      401      401
GET /gp/{gp_id}                                                          | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok

# admin
                                                                         | nobody   stranger member   muted    moder.   owner    blocked  removed  banned   staff    admin
GET /admin/users/{user_id}                                               | 401      403      403      403      403      403      403      403      banned   403      ok
PUT /admin/users/{user_id}/roles                                         | 401      403      403      403      403      403      403      403      banned   403      ok
PUT /admin/users/{user_id}/roles · oneself                               | 401      403      403      403      403      403      403      403      banned   403      ok
PUT /admin/users/{user_id}/ban                                           | 401      403      403      403      403      403      403      403      banned   403      ok
PUT /admin/users/{user_id}/ban · an admin                                | 401      403      403      403      403      403      403      403      banned   403      403
DELETE /admin/users/{user_id}/ban                                        | 401      403      403      403      403      403      403      403      banned   403      ok
GET /admin/users/{user_id}/sessions                                      | 401      403      403      403      403      403      403      403      banned   403      ok
DELETE /admin/users/{user_id}/sessions                                   | 401      403      403      403      403      403      403      403      banned   403      ok
DELETE /admin/users/{user_id}/sessions/{session_id}                      | 401      403      403      403      403      403      403      403      banned   403      ok
GET /admin/users/{user_id} · who is not there                            | 401      403      403      403      403      403      403      403      banned   403      no-user
GET /admin/chats/{chat_id}                                               | 401      403      403      403      403      403      403      403      banned   403      ok
GET /admin/chats                                                         | 401      403      403      403      403      403      403      403      banned   403      ok
POST /admin/drain                                                        | 401      403      403      403      403      403      403      403      banned   403      ok
"""

_COMMANDS = """
                                                                         | nobody   stranger member   muted    moder.   owner    blocked  removed  banned   staff    admin
message.send                                                             | 401      no-chat  ok       muted    ok       ok       ok       no-chat  banned   no-chat  no-chat
message.send · direct                                                    | 401      ok       ok       ok       ok       ok       blocked  ok       banned   ok       ok
message.edit · own                                                       | 401      no-chat  ok       muted    ok       ok       ok       no-chat  banned   no-chat  no-chat
message.edit · another's                                                 | 401      no-chat  403      muted    403      403      403      no-chat  banned   no-chat  no-chat
message.delete · own                                                     | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
message.delete · another's                                               | 401      no-chat  403      403      ok       ok       403      no-chat  banned   no-chat  no-chat
message.delete · direct, another's                                       | 401      403      403      403      403      403      403      403      banned   403      403
reaction.add                                                             | 401      no-chat  ok       muted    ok       ok       ok       no-chat  banned   no-chat  no-chat
reaction.add · direct                                                    | 401      ok       ok       ok       ok       ok       blocked  ok       banned   ok       ok
reaction.remove                                                          | 401      no-chat  ok       muted    ok       ok       ok       no-chat  banned   no-chat  no-chat
reaction.remove · direct                                                 | 401      ok       ok       ok       ok       ok       blocked  ok       banned   ok       ok
delivery.read                                                            | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
delivery.received                                                        | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
sync                                                                     | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
typing.start                                                             | 401      no-chat  ok       muted    ok       ok       ok       no-chat  banned   no-chat  no-chat
typing.start · direct                                                    | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
typing.stop                                                              | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
presence.set                                                             | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
presence.watch                                                           | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
draft.set                                                                | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
gp.watch                                                                 | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
gp.unwatch                                                               | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
auth.refresh · one's own token                                           | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
auth.refresh · another's token                                           | 401      401      401      401      401      401      401      401      banned   401      401
ping                                                                     | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
"""

#: On the socket of one chat.
_CHAT_SOCKET = """
                                                                         | nobody   stranger member   muted    moder.   owner    blocked  removed  banned   staff    admin
sync · the group                                                         | 401      no-chat  ok       ok       ok       ok       ok       no-chat  banned   no-chat  no-chat
sync · one's direct chat                                                 | 401      ok       ok       ok       ok       ok       ok       ok       banned   ok       ok
message.send · the group                                                 | 401      no-chat  ok       muted    ok       ok       ok       no-chat  banned   no-chat  no-chat
message.send · another of one's chats                                    | 401      no-chat  no-chat  no-chat  no-chat  no-chat  no-chat  no-chat  banned   no-chat  no-chat
sync · no chat                                                           | 401      no-chat  no-chat  no-chat  no-chat  no-chat  no-chat  no-chat  banned   no-chat  no-chat
"""


def _rows(text: str) -> dict[str, dict[str, str]]:
    """Label to actor to word."""
    rows = {}
    for line in text.splitlines():
        label, _, words = line.partition("|")
        if label.strip() and words:
            rows[label.strip()] = dict(zip(ACTORS, words.split(), strict=True))
    return rows


#: The rows of routes by the rooms that they are about.
PARTS = {part.partition("\n")[0].strip(): _rows(part) for part in _ROUTES.split("\n# ")[1:]}
ROUTES = {label: row for part in PARTS.values() for label, row in part.items()}
COMMANDS = _rows(_COMMANDS)
CHAT_SOCKET = _rows(_CHAT_SOCKET)
