/** Whose a target table is. Asked before anything of it, or of what Syncline keeps beside it, is changed or dropped. */
import { SyncError } from '../core/error.ts'
import type { Owner, TargetSpec } from './connector.ts'

/** TARGET_NOT_OURS, TARGET_SHARED: the table is another project's or another sync's. */
export function refuseOtherOwner(spec: Pick<TargetSpec, 'collection' | 'project' | 'sync'>, owner: Owner): void {
  if (owner.project !== spec.project)
    throw new SyncError(
      'TARGET_NOT_OURS',
      `the target table ${spec.collection} belongs to another Syncline project (sync ${owner.sync})`,
      { hint: 'Choose another name with `to`. Was .syncline/state.db lost or copied? Its project id owns the table.' },
    )
  if (owner.sync !== spec.sync)
    throw new SyncError('TARGET_SHARED', `the target table ${spec.collection} belongs to sync ${owner.sync}`, {
      hint: `Choose another name with \`to\`, or give the table up first: syncline reset ${owner.sync} --drop.`,
    })
}
