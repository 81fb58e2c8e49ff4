/** The process that works on files which callers named (connection-apart.ts starts it). */
import { serveApart } from '../apart-serve.ts'
import { openSqlite } from './connection.ts'

serveApart(openSqlite)
